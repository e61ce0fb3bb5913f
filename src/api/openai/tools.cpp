// The tools of a chat request.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <string>
#include <vector>

#include "api/json_text.h"
#include "api/openai/chat_request.h"

namespace mlxd::api::openai {

namespace json = boost::json;

namespace {

constexpr std::size_t kMaxNameBytes = 128;

bool is_name(std::string_view name) {
  constexpr std::string_view kSigns = "_-.:/";
  const auto allowed = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kSigns.find(c) != std::string_view::npos;
  };
  return !name.empty() && name.size() <= kMaxNameBytes && std::all_of(name.begin(), name.end(), allowed);
}

}  // namespace

Result<std::string> read_tool_name(const json::value& value, const std::string& field) {
  std::string name = TRY(read_string(value, field));
  if (!is_name(name))
    return invalid_argument(field + " is " + shown(value) + ", must be 1 to " +
                                std::to_string(kMaxNameBytes) + " letters, digits or any of _-.:/",
                            field);
  return name;
}

namespace {

Result<Tool> read_tool(const json::value& value, const std::string& path) {
  const json::object& object = *TRY(read_object(value, path));
  const json::value* type = object.if_contains("type");
  if (type == nullptr) return missing_field(path + ".type");
  const std::string kind = TRY(read_string(*type, path + ".type"));
  if (kind != "function")
    return Error(ErrorKind::kUnsupported,
                 path + ".type is '" + kind.substr(0, 40) + "': only functions can be called",
                 path + ".type");
  const std::string field = path + ".function";
  const json::value* function = object.if_contains("function");
  if (function == nullptr) return missing_field(field);
  const json::object& details = *TRY(read_object(*function, field));
  Tool tool;
  const json::value* name = details.if_contains("name");
  if (name == nullptr) return missing_field(field + ".name");
  tool.name = TRY(read_tool_name(*name, field + ".name"));
  if (const json::value* strict = details.if_contains("strict"); strict != nullptr && !strict->is_null()) {
    tool.strict = TRY(read_boolean(*strict, field + ".strict"));
  }
  const json::value* parameters = details.if_contains("parameters");
  if (parameters != nullptr && !parameters->is_null()) {
    const json::object* const schema = TRY(read_object(*parameters, field + ".parameters"));
    TRY(check_schema(*schema, field + ".parameters"));
    append_json_value(tool.parameters_json, *parameters);
  }
  append_json_value(tool.declaration_json, value);
  return tool;
}

}  // namespace

Result<void> add_tool(std::vector<Tool>& tools, Tool tool, const std::string& name_field) {
  if (tools.size() >= kMaxTools)
    return invalid_argument("tools has more than " + std::to_string(kMaxTools) + " entries", "tools");
  const bool is_taken =
      std::any_of(tools.begin(), tools.end(), [&](const Tool& other) { return other.name == tool.name; });
  if (is_taken)
    return invalid_argument(name_field + " is '" + tool.name + "', which an earlier tool has", name_field);
  tools.push_back(std::move(tool));
  return {};
}

Result<void> check_schema(const json::object& schema, const std::string& path) {
  // The grammar compiler would take its own options from there, one of which keeps less than the schema says.
  if (!schema.contains("x-guidance")) return {};
  return Error(ErrorKind::kUnsupported, path + " has \"x-guidance\", which is not supported: leave it out",
               path + ".x-guidance");
}

Result<std::vector<Tool>> read_tools(const json::value& tools) {
  const json::array& list = *TRY(read_array(tools, "tools"));
  if (list.size() > kMaxTools)
    return invalid_argument("tools has " + std::to_string(list.size()) + " entries, at most " +
                                std::to_string(kMaxTools) + " are taken",
                            "tools");
  std::vector<Tool> result;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string path = "tools[" + std::to_string(i) + "]";
    TRY(add_tool(result, TRY(read_tool(list[i], path)), path + ".function.name"));
  }
  return result;
}

}  // namespace mlxd::api::openai
