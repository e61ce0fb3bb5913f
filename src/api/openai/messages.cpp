// The messages of a chat request.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <iterator>
#include <string>

#include "api/json_text.h"
#include "api/openai/chat_request.h"
#include "generation/message.h"

namespace mlxd::api::openai {

namespace json = boost::json;

namespace {

constexpr std::string_view kKnownKeys[] = {
    "role",    "content",           "name",      "tool_call_id", "tool_calls",
    "refusal", "reasoning_content", "reasoning", "audio"};

bool is_known(std::string_view key) {
  return std::find(std::begin(kKnownKeys), std::end(kKnownKeys), key) != std::end(kKnownKeys);
}

Result<ToolCall> read_tool_call(const json::value& value, const std::string& path) {
  const json::object& object = *TRY(read_object(value, path));
  ToolCall call;
  if (const json::value* id = present(object, "id")) call.id = TRY(read_string(*id, path + ".id"));
  const json::value* function = present(object, "function");
  if (function == nullptr) return missing_field(path + ".function");
  const json::object& details = *TRY(read_object(*function, path + ".function"));
  const json::value* name = present(details, "name");
  if (name == nullptr) return missing_field(path + ".function.name");
  call.name = TRY(read_string(*name, path + ".function.name"));
  const json::value* arguments = present(details, "arguments");
  if (arguments == nullptr)
    call.arguments = "{}";
  else if (arguments->is_string())
    call.arguments = TRY(read_string(*arguments, path + ".function.arguments"));
  else
    append_json_value(call.arguments, *arguments);
  return call;
}

Result<std::string> read_content(const json::object& message, const std::string& path, bool may_lack) {
  const json::value* content = present(message, "content");
  if (content != nullptr && content->is_array())
    return read_text_parts(content->get_array(), path + ".content");
  if (content != nullptr && content->is_string()) return read_string(*content, path + ".content");
  if (content != nullptr) return wrong_type(*content, path + ".content", "a string or a list of parts");
  if (may_lack) return std::string();
  return missing_field(path + ".content");
}

Result<Message> read_message(const json::value& value, const std::string& path, bool strict) {
  const json::object& object = *TRY(read_object(value, path));
  const json::value* role_value = object.if_contains("role");
  if (role_value == nullptr) return missing_field(path + ".role");
  auto role = parse_role(TRY(read_string(*role_value, path + ".role")));
  if (!role.ok()) return invalid_argument(path + ": " + role.error().message, path + ".role");
  Message message;
  message.role = *role;
  if (const json::value* name = present(object, "name"))
    message.name = TRY(read_string(*name, path + ".name"));
  if (const json::value* id = present(object, "tool_call_id"))
    message.tool_call_id = TRY(read_string(*id, path + ".tool_call_id"));
  for (const char* key : {"reasoning_content", "reasoning"}) {
    const json::value* reasoning = present(object, key);
    if (reasoning != nullptr && reasoning->is_string() && message.reasoning.empty())
      message.reasoning = std::string(reasoning->get_string());
  }
  if (const json::value* calls = present(object, "tool_calls")) {
    const json::array& list = *TRY(read_array(*calls, path + ".tool_calls"));
    for (std::size_t i = 0; i < list.size(); ++i)
      message.tool_calls.push_back(
          TRY(read_tool_call(list[i], path + ".tool_calls[" + std::to_string(i) + "]")));
  }
  const bool may_lack = message.role == Role::kAssistant && !message.tool_calls.empty();
  message.content = TRY(read_content(object, path, may_lack));
  json::object further;
  for (const auto& [key, member] : object) {
    const std::string name(key);
    if (is_known(name)) continue;
    if (strict)
      return invalid_argument("unknown key '" + name.substr(0, 60) + "' in " + path,
                              path + "." + name.substr(0, 60));
    further.emplace(key, member);
  }
  if (!further.empty()) append_json_value(message.further_json, further);
  return message;
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

Result<std::vector<Message>> read_messages(const json::value& messages, bool strict) {
  const json::array& list = *TRY(read_array(messages, "messages"));
  if (list.empty()) return invalid_argument("messages is empty, must have at least one message", "messages");
  std::vector<Message> result;
  result.reserve(list.size());
  for (std::size_t i = 0; i < list.size(); ++i)
    result.push_back(TRY(read_message(list[i], "messages[" + std::to_string(i) + "]", strict)));
  return result;
}

}  // namespace mlxd::api::openai
