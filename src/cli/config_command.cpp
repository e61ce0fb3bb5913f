#include <boost/json.hpp>
#include <string>
#include <utility>

#include "cli/commands.h"
#include "cli/json_text.h"
#include "cli/manage_client.h"
#include "cli/password_input.h"
#include "cli/settings.h"
#include "cli/table.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

json::value to_json(const SettingInfo& info, const Settings::Value& value) {
  switch (info.kind) {
    case SettingKind::kList:
      return json::value_from(value.values);
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
  return json::string(value.values.front());
}

std::string to_text(const Settings::Value& value) {
  std::string text;
  for (const std::string& part : value.values) text += (text.empty() ? "" : ", ") + part;
  return text.empty() ? "none" : text;
}

Result<int> list(const CommandContext& context, bool as_json) {
  const Settings settings = TRY(resolve_settings({}, context.state));
  Table table({{"SETTING"}, {"VALUE"}, {"FROM"}});
  json::object values{{"home", json::object{{"value", context.state.root().string()}}}};
  for (const SettingInfo& info : setting_infos()) {
    if (info.kind == SettingKind::kSecret) continue;
    const Settings::Value& value = settings.value(info.name);
    const std::string source = describe_source(value.source, info.name, context.state);
    table.add_row({std::string(info.name), to_text(value), source});
    values[info.name] = json::object{{"value", to_json(info, value)}, {"from", source}};
  }
  context.console.write(as_json
                            ? pretty_json(values)
                            : "state folder: " + context.state.root().string() + "\n" + table.to_string());
  return kExitOk;
}

Result<const SettingInfo*> find_named(std::string name) {
  for (char& c : name)
    if (c == '_') c = '-';
  if (const SettingInfo* info = find_setting(name)) return info;
  return unknown_setting(name);
}

Result<int> get(const CommandContext& context, const ConfigOptions& options) {
  const SettingInfo& info = *TRY(find_named(options.name));
  if (info.kind == SettingKind::kSecret)
    return Error(ErrorKind::kForbidden, std::string(info.name) + " is a secret and is never shown");
  const Settings settings = TRY(resolve_settings({}, context.state));
  const Settings::Value& value = settings.value(info.name);
  if (options.json) {
    const std::string source = describe_source(value.source, info.name, context.state);
    context.console.write(pretty_json(json::object{{"value", to_json(info, value)}, {"from", source}}));
  } else {
    for (const std::string& part : value.values) context.console.write_line(part);
  }
  return kExitOk;
}

// Over the API, so that a server that runs takes it over at once.
Result<int> change(const CommandContext& context, const ConfigOptions& options) {
  const SettingInfo& info = *TRY(find_named(options.name));
  const std::string name(info.name);
  json::value value = nullptr;
  if (options.verb == "set")
    value = json::string(options.value ? *options.value : TRY(read_secret(context.console, name, false)));
  const ManageClient client = TRY(ManageClient::open(context.state));
  TRY(client.call("PATCH", "/api/v1/settings", json::object{{name, std::move(value)}}));
  if (info.kind == SettingKind::kSecret) return kExitOk;
  const Settings settings = TRY(resolve_settings({}, context.state));
  const Settings::Value& now = settings.value(info.name);
  if (options.verb == "set" && now.source != SettingSource::kStored)
    context.console.write_error("mlxd: stored, but " + describe_source(now.source, name, context.state) +
                                " wins: " + to_text(now) + "\n");
  else if (info.effect == SettingEffect::kAtStart)
    context.console.write_error("mlxd: " + name + " takes effect at the server's next start\n");
  return kExitOk;
}

}  // namespace

Result<int> config_command(const CommandContext& context, const ConfigOptions& options) {
  if (options.verb == "get") return get(context, options);
  if (options.verb == "set" || options.verb == "unset") return change(context, options);
  return list(context, options.json);
}

}  // namespace mlxd::cli
