#include "server/setting_routes.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <utility>

#include "api/field_reader.h"

namespace mlxd {
namespace {

namespace json = boost::json;

json::value text(std::string_view value) { return json::string(value.data(), value.size()); }

json::value encode_value(const SettingInfo& info, const Settings::Value& value) {
  switch (info.kind) {
    case SettingKind::kList: {
      json::array list;
      for (const std::string& entry : value.values) list.push_back(text(entry));
      return list;
    }
    case SettingKind::kNumber:
    case SettingKind::kSize:
      return value.number;
    case SettingKind::kSwitch:
      return value.number != 0;
    case SettingKind::kMemory:
    case SettingKind::kTime:
    case SettingKind::kText:
    case SettingKind::kSecret:
      break;
  }
  return text(value.values.front());
}

json::object encode_setting(const SettingInfo& info, const Settings& now, const LiveSettings& settings) {
  const Settings::Value& value = now.value(info.name);
  json::object object{{"name", text(info.name)},
                      {"kind", text(to_string(info.kind))},
                      {"category", text(info.category)},
                      {"help", text(info.help)},
                      {"default", text(info.default_value)},
                      {"effect", info.effect == SettingEffect::kAtOnce ? "at once" : "at the next start"}};
  if (!info.choices.empty()) object["choices"] = text(info.choices);
  if (info.kind == SettingKind::kNumber || info.kind == SettingKind::kSize) {
    object["min"] = info.min;
    object["max"] = info.max;
  }
  object["value"] = encode_value(info, value);
  object["from"] = text(describe_source(value.source, info.name, settings.places().config_file));
  object["restart_needed"] =
      info.effect == SettingEffect::kAtStart && settings.at_start().value(info.name).values != value.values;
  return object;
}

Result<json::object> encode_settings(LiveSettings& settings) {
  const auto now = settings.now();
  json::array list;
  for (const SettingInfo& info : setting_infos()) {
    json::object object = encode_setting(info, *now, settings);
    if (info.kind == SettingKind::kSecret) {
      object["value"] = nullptr;
      const bool is_set = TRY(settings.has_secret(info.name));
      object["is_set"] = is_set;
      object["from"] = is_set ? "stored" : "default";
    }
    list.push_back(std::move(object));
  }
  return json::object{{"settings", std::move(list)}};
}

// As it would be written in config.toml.
Result<std::string> value_text(const json::value& value, const std::string& name) {
  if (value.is_string()) return std::string(value.get_string());
  if (value.is_bool()) return std::string(value.get_bool() ? "true" : "false");
  if (value.is_int64()) return std::to_string(value.get_int64());
  if (!value.is_array()) return api::wrong_type(value, name, "text, a number, a switch or a list of texts");
  std::string joined;
  for (const json::value& entry : value.get_array()) {
    const std::string part = TRY(api::read_string(entry, name));
    if (part.find(',') != std::string::npos || part.empty())
      return invalid_argument(
          name + " has the entry '" + part.substr(0, 100) + "', which is empty or has a comma", name);
    joined += (joined.empty() ? "" : ",") + part;
  }
  return joined;
}

Result<ManageAnswer> change_settings(LiveSettings& settings, const http::Request& request) {
  const json::object body = TRY(api::parse_request_object(request.body));
  std::map<std::string, std::optional<std::string>> changes;
  for (const auto& [key, value] : body) {
    const std::string name(key);
    if (value.is_null())
      changes.emplace(name, std::nullopt);
    else
      changes.emplace(name, TRY(value_text(value, name)));
  }
  TRY(settings.change(changes));
  return ManageAnswer{.body = TRY(encode_settings(settings))};
}

// A kill between the steps leaves every secret readable: the file has both keys until all are sealed with the
// new one.
Result<ManageAnswer> rotate_key(SettingStore& store, SecretBox& box, const Clock& clock) {
  TRY(box.add_key());
  TRY(store.reseal(
      [&box](const std::string& sealed) -> Result<std::string> { return box.seal(TRY(box.unseal(sealed))); },
      clock.wall_seconds()));
  TRY(box.forget_old_keys());
  return ManageAnswer{.status = 204};
}

}  // namespace

std::vector<api::FieldInfo> setting_field_infos() {
  std::vector<api::FieldInfo> fields;
  for (const SettingInfo& info : setting_infos()) {
    api::ValueShape shape = api::text();
    if (info.kind == SettingKind::kNumber || info.kind == SettingKind::kSize)
      shape = api::integer(info.min, info.max);
    else if (info.kind == SettingKind::kSwitch)
      shape = api::boolean();
    else if (info.kind == SettingKind::kList)
      shape = api::typed("string[]");
    fields.push_back({info.name, api::FieldUse::kHonoured, {info.help, shape}});
  }
  return fields;
}

void add_setting_routes(ManageRoutes& routes, LiveSettings& settings, SettingStore store, SecretBox& box,
                        const Clock& clock) {
  routes.add("GET", "/api/v1/settings",
             [&settings](const http::Request&, const Caller&) -> Result<ManageAnswer> {
               return ManageAnswer{.body = TRY(encode_settings(settings))};
             });
  routes.add("PATCH", "/api/v1/settings", [&settings](const http::Request& request, const Caller&) {
    return change_settings(settings, request);
  });
  routes.add("POST", "/api/v1/settings/rotate-key",
             [store, &box, &clock](const http::Request&, const Caller&) {
               SettingStore own = store;
               return rotate_key(own, box, clock);
             });
}

void add_system_route(ManageRoutes& routes, std::function<SystemFacts()> facts) {
  routes.add("GET", "/api/v1/system",
             [facts = std::move(facts)](const http::Request&, const Caller& caller) -> Result<ManageAnswer> {
               const SystemFacts now = facts();
               json::array models;
               for (const std::string& model : now.loaded_models) models.push_back(text(model));
               json::object body{{"started_at", now.started_at},
                                 {"uptime_s", now.uptime_s},
                                 {"memory_bytes", static_cast<std::int64_t>(now.resident_bytes)},
                                 {"open_connections", static_cast<std::int64_t>(now.open_connections)},
                                 {"loaded_models", std::move(models)}};
               if (caller.administers()) body["state_folder"] = text(now.state_folder);
               return ManageAnswer{.body = std::move(body)};
             });
}

}  // namespace mlxd
