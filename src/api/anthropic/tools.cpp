// The tools of a request, and which of them is to be called.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <string>

#include "api/anthropic/request_draft.h"
#include "api/field_reader.h"
#include "api/json_text.h"
#include "api/openai/chat_request.h"

namespace mlxd::api::anthropic {

namespace json = boost::json;

namespace {

// The declaration in the form that templates know.
Result<Tool> read_tool(const json::object& object, const std::string& path) {
  const json::value* name = present(object, "name");
  if (name == nullptr) return missing_field(path + ".name");
  Tool tool;
  tool.name = TRY(openai::read_tool_name(*name, path + ".name"));
  json::object function{{"name", json::string(tool.name)}};
  if (const json::value* description = present(object, "description"))
    function["description"] = json::string(TRY(read_string(*description, path + ".description")));
  const json::value* schema = present(object, "input_schema");
  if (schema == nullptr) return missing_field(path + ".input_schema");
  TRY(openai::check_schema(*TRY(read_object(*schema, path + ".input_schema")), path + ".input_schema"));
  append_json_value(tool.parameters_json, *schema);
  function["parameters"] = *schema;
  if (const json::value* strict = present(object, "strict"); strict != nullptr)
    tool.strict = TRY(read_boolean(*strict, path + ".strict"));
  append_json_value(tool.declaration_json,
                    json::object{{"type", "function"}, {"function", std::move(function)}});
  return tool;
}

}  // namespace

Result<void> read_tools(const json::value& value, std::string_view field, MessagesDraft& draft) {
  const json::array& list = *TRY(read_array(value, field));
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string path = std::string(field) + "[" + std::to_string(i) + "]";
    const json::object& object = *TRY(read_object(list[i], path));
    const json::value* type = present(object, "type");
    const std::string kind = type == nullptr ? "custom" : TRY(read_string(*type, path + ".type"));
    if (kind == "custom") {
      TRY(openai::add_tool(draft.conversation().tools, TRY(read_tool(object, path)), path + ".name"));
      continue;
    }
    // What Anthropic's servers run themselves, or what only its models know without a schema.
    constexpr std::string_view kSigns = "_-.";
    const bool is_word =
        !kind.empty() && kind.size() <= 60 && std::all_of(kind.begin(), kind.end(), [&](char c) {
          return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 kSigns.find(c) != std::string_view::npos;
        });
    if (!is_word)
      return invalid_argument(path + ".type is " + shown(*type) + ", must be custom or a known type",
                              path + ".type");
    if (const json::value* name = present(object, "name"))
      draft.absent_tools.push_back(TRY(read_string(*name, path + ".name")));
    draft.call().ignored.push_back("tools." + kind);
  }
  return {};
}

Result<void> read_tool_choice(const json::value& value, std::string_view field, MessagesDraft& draft) {
  const std::string path(field);
  const json::object& choice = *TRY(read_object(value, field));
  const json::value* type = present(choice, "type");
  if (type == nullptr) return missing_field(path + ".type");
  const std::string kind = TRY(read_string(*type, path + ".type"));
  if (kind != "auto" && kind != "any" && kind != "tool" && kind != "none")
    return invalid_argument(path + ".type is " + shown(*type) + ", must be auto, any, tool or none",
                            path + ".type");
  Conversation& conversation = draft.conversation();
  draft.no_tools = kind == "none";
  conversation.must_call = kind == "any" || kind == "tool";
  if (const json::value* single = present(choice, "disable_parallel_tool_use")) {
    if (TRY(read_boolean(*single, path + ".disable_parallel_tool_use"))) draft.call().limit_tool_calls(1);
  }
  if (kind != "tool") return {};
  const json::value* name = present(choice, "name");
  if (name == nullptr) return missing_field(path + ".name");
  conversation.tool_to_call = TRY(read_string(*name, path + ".name"));
  return {};
}

Result<void> check_tools(const MessagesDraft& draft) {
  const Conversation& conversation = *draft.common.call.conversation;
  if (!conversation.must_call) return {};
  const std::string& name = conversation.tool_to_call;
  const auto& absent = draft.absent_tools;
  if (!name.empty() && std::find(absent.begin(), absent.end(), name) != absent.end())
    return Error(ErrorKind::kUnsupported,
                 "tool_choice names '" + name.substr(0, 60) +
                     "', which only Anthropic's servers have: use a tool with an input_schema",
                 "tool_choice.name");
  if (conversation.tools.empty())
    return invalid_argument("tool_choice forces a call, but there are no tools", "tool_choice");
  const bool is_known = name.empty() || std::any_of(conversation.tools.begin(), conversation.tools.end(),
                                                    [&](const Tool& tool) { return tool.name == name; });
  if (is_known) return {};
  return invalid_argument("tool_choice names '" + name.substr(0, 60) + "', which is none of the tools",
                          "tool_choice.name");
}

}  // namespace mlxd::api::anthropic
