// The messages of a chat request: checked, then written for templates.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <iterator>
#include <string>

#include "api/openai/chat_request.h"
#include "generation/message.h"

namespace mlxd::api::openai {

namespace json = boost::json;

namespace {

constexpr std::string_view kKnownKeys[] = {
    "role",    "content",           "name",      "tool_call_id", "tool_calls",
    "refusal", "reasoning_content", "reasoning", "audio"};

// OpenAI sends arguments as JSON text; templates iterate over an object.
Result<void> open_tool_call_arguments(json::value& calls, const std::string& field) {
  if (!calls.is_array()) return wrong_type(calls, field, "a list");
  for (json::value& call : calls.get_array()) {
    json::object* object = call.if_object();
    if (object == nullptr) return wrong_type(call, field, "a list of objects");
    json::value* function = object->if_contains("function");
    json::object* details = function != nullptr ? function->if_object() : nullptr;
    json::value* arguments = details != nullptr ? details->if_contains("arguments") : nullptr;
    if (arguments == nullptr || !arguments->is_string()) continue;
    json::error_code code;
    json::parse_options options;
    options.max_depth = kMaxJsonDepth;
    json::value parsed = json::parse(arguments->get_string(), code, {}, options);
    if (!code && parsed.is_object()) *arguments = std::move(parsed);
  }
  return {};
}

Result<void> normalize_message(json::object& message, const std::string& path, bool strict) {
  json::value* role_value = message.if_contains("role");
  if (role_value == nullptr) return missing_field(path + ".role");
  auto role = parse_role(TRY(read_string(*role_value, path + ".role")));
  if (!role.ok()) return invalid_argument(path + ": " + role.error().message, path + ".role");
  *role_value = json::string(to_string(*role));

  for (const char* key : {"name", "tool_call_id"}) {
    const json::value* value = message.if_contains(key);
    if (value != nullptr && !value->is_null()) TRY(read_string(*value, path + "." + key));
  }
  json::value* calls = message.if_contains("tool_calls");
  const bool has_calls = calls != nullptr && !calls->is_null();
  if (has_calls) TRY(open_tool_call_arguments(*calls, path + ".tool_calls"));

  json::value* content = message.if_contains("content");
  if (content != nullptr && content->is_array()) {
    const std::string text = TRY(read_text_parts(content->get_array(), path + ".content"));
    *content = json::string(text);
  } else if (content == nullptr || content->is_null()) {
    if (*role != Role::kAssistant || !has_calls) return missing_field(path + ".content");
    message["content"] = "";
  } else if (!content->is_string()) {
    return wrong_type(*content, path + ".content", "a string or a list of parts");
  }
  if (!strict) return {};
  for (const auto& entry : message) {
    const std::string key(entry.key());
    if (std::find(std::begin(kKnownKeys), std::end(kKnownKeys), key) == std::end(kKnownKeys))
      return invalid_argument("unknown key '" + key.substr(0, 60) + "' in " + path,
                              path + "." + key.substr(0, 60));
  }
  return {};
}

}  // namespace

Result<std::string> read_text_parts(const json::array& parts, const std::string& field) {
  std::string text;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string path = field + "[" + std::to_string(i) + "]";
    const json::object& part = *TRY(read_object(parts[i], path));
    const json::value* type = part.if_contains("type");
    if (type == nullptr) return missing_field(path + ".type");
    const std::string kind = TRY(read_string(*type, path + ".type"));
    const char* key = kind == "refusal" ? "refusal" : "text";
    if (kind != "text" && kind != "refusal")
      return Error(ErrorKind::kUnsupported,
                   path + ".type is '" + kind.substr(0, 40) + "', this model takes text only",
                   path + ".type");
    const json::value* piece = part.if_contains(key);
    if (piece == nullptr) return missing_field(path + "." + key);
    text += TRY(read_string(*piece, path + "." + key));
  }
  return text;
}

Result<std::string> normalize_messages(const json::value& messages, bool strict) {
  json::array list = *TRY(read_array(messages, "messages"));
  if (list.empty()) return invalid_argument("messages is empty, must have at least one message", "messages");
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string path = "messages[" + std::to_string(i) + "]";
    if (!list[i].is_object()) return wrong_type(list[i], path, "an object");
    TRY(normalize_message(list[i].get_object(), path, strict));
  }
  return json::serialize(list);
}

}  // namespace mlxd::api::openai
