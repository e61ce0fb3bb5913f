#include "api/ollama/profile_defaults.h"

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "api/field_reader.h"

namespace mlxd::api::ollama {

namespace json = boost::json;

namespace {

void add_system(json::object& request, const json::value& system, ProfileUse use) {
  if (use == ProfileUse::kGenerate) {
    const json::value* raw = request.if_contains("raw");
    if (present(request, "system") == nullptr && (raw == nullptr || *raw != true)) request["system"] = system;
    return;
  }
  json::value* messages = request.if_contains("messages");
  // Without any the model is only to be loaded.
  if (messages == nullptr || !messages->is_array() || messages->get_array().empty()) return;
  json::array& list = messages->get_array();
  const bool has_own = std::any_of(list.begin(), list.end(), [](const json::value& message) {
    const json::object* object = message.if_object();
    const json::value* role = object == nullptr ? nullptr : object->if_contains("role");
    return role != nullptr && *role == "system";
  });
  if (!has_own) list.insert(list.begin(), json::object{{"role", "system"}, {"content", system}});
}

// Of an object inside the request; one that is no object is refused by the decoder.
void add_member(json::object& request, const char* parent, std::string_view key, const json::value& value) {
  json::value& object = request[parent];
  if (object.is_null()) object = json::object();
  if (object.is_object() && present(object.get_object(), key) == nullptr)
    object.get_object()[json::string_view(key.data(), key.size())] = value;
}

void add_switches(json::object& request, const json::value& switches) {
  const json::value* raw = request.if_contains("raw");
  if (!switches.is_object() || (raw != nullptr && *raw == true)) return;
  for (const auto& [key, value] : switches.get_object())
    add_member(request, "chat_template_kwargs", std::string_view(key.data(), key.size()), value);
}

std::string_view option_name(std::string_view name) {
  if (name == "max_tokens") return "num_predict";
  if (name == "repetition_penalty") return "repeat_penalty";
  return name;
}

}  // namespace

std::string with_profile_defaults(std::string_view body, const std::string& defaults_json, ProfileUse use) {
  auto parsed = parse_request_object(body);
  const auto defaults = parse_request_object(defaults_json);
  if (!parsed.ok() || !defaults.ok()) return std::string(body);
  json::object request = parsed.take_value();
  for (const auto& [key, value] : *defaults) {
    const std::string_view name(key.data(), key.size());
    if (name == "context_tokens") continue;
    if (name == "system")
      add_system(request, value, use);
    else if (name == "template")
      add_switches(request, value);
    else
      add_member(request, "options", option_name(name), value);
  }
  return json::serialize(request);
}

}  // namespace mlxd::api::ollama
