#include "api/openai/response_tools.h"

#include <algorithm>
#include <boost/json/object.hpp>
#include <iterator>
#include <string_view>
#include <utility>

#include "api/field_reader.h"
#include "api/json_text.h"
#include "api/openai/chat_request.h"
#include "api/openai/text_argument.h"

namespace mlxd::api::openai {

namespace json = boost::json;

namespace {

/// Tools that OpenAI's own servers have; with a date behind some.
constexpr std::string_view kBuiltIn[] = {"web_search",
                                         "web_search_preview",
                                         "file_search",
                                         "computer",
                                         "computer_use",
                                         "computer_use_preview",
                                         "code_interpreter",
                                         "image_generation",
                                         "local_shell",
                                         "shell",
                                         "apply_patch",
                                         "mcp",
                                         "tool_search",
                                         "namespace",
                                         "programmatic_tool_calling"};

bool is_built_in(std::string_view type) {
  constexpr std::string_view kDateSigns = "_0123456789";
  return std::any_of(std::begin(kBuiltIn), std::end(kBuiltIn), [&](std::string_view name) {
    if (!type.starts_with(name)) return false;
    const std::string_view date = type.substr(name.size());
    return date.empty() ||
           (date.starts_with("_20") && date.find_first_not_of(kDateSigns) == std::string_view::npos);
  });
}

Result<std::string> name_of(const json::object& tool, const std::string& path) {
  const json::value* name = present(tool, "name");
  if (name == nullptr) return missing_field(path + ".name");
  return read_tool_name(*name, path + ".name");
}

// As a chat's template knows functions: the same declaration, the same prompt.
Tool declared(std::string name, const json::object& function, std::string parameters) {
  Tool tool{.name = std::move(name), .declaration_json = {}, .parameters_json = std::move(parameters)};
  append_json_value(tool.declaration_json, json::object{{"type", "function"}, {"function", function}});
  return tool;
}

Result<Tool> read_function(const json::object& object, const std::string& path) {
  std::string name = TRY(name_of(object, path));
  json::object function;
  for (const auto& [key, value] : object) {
    if (key == "type" || key == "strict" || key == "defer_loading" || value.is_null()) continue;
    function.emplace(key, value);
  }
  bool is_strict = false;
  if (const json::value* strict = present(object, "strict"); strict != nullptr)
    is_strict = TRY(read_boolean(*strict, path + ".strict"));
  std::string parameters;
  if (const json::value* schema = present(object, "parameters"); schema != nullptr) {
    TRY(check_schema(*TRY(read_object(*schema, path + ".parameters")), path + ".parameters"));
    append_json_value(parameters, *schema);
  }
  Tool tool = declared(std::move(name), function, std::move(parameters));
  tool.strict = is_strict;
  return tool;
}

// Whether a regular expression may stand inside a group: its parentheses match, outside of classes.
bool is_balanced(std::string_view regex) {
  int depth = 0;
  bool in_class = false;
  for (std::size_t i = 0; i < regex.size(); ++i) {
    const char c = regex[i];
    if (c == '\\') {
      ++i;
    } else if (in_class) {
      in_class = c != ']';
    } else if (c == '[') {
      in_class = true;
      // A bracket at its beginning is one of its signs.
      if (i + 1 < regex.size() && regex[i + 1] == '^') ++i;
      if (i + 1 < regex.size() && regex[i + 1] == ']') ++i;
    } else if (c == '(') {
      ++depth;
    } else if (c == ')' && --depth < 0) {
      return false;
    }
  }
  return depth == 0;
}

// Told to the model as a function of one text.
Result<Tool> read_custom(const json::object& object, const std::string& path, ResponseTools& tools) {
  std::string name = TRY(name_of(object, path));
  json::object argument{{"type", "string"}};
  std::string pattern;
  std::string form;
  if (const json::value* value = present(object, "format"); value != nullptr) {
    const std::string field = path + ".format";
    const json::object& format = *TRY(read_object(*value, field));
    const json::value* type = present(format, "type");
    if (type == nullptr) return missing_field(field + ".type");
    const std::string kind = TRY(read_string(*type, field + ".type"));
    if (kind == "grammar") {
      for (const char* key : {"syntax", "definition"})
        if (present(format, key) == nullptr) return missing_field(field + "." + key);
      const std::string syntax = TRY(read_string(format.at("syntax"), field + ".syntax"));
      const std::string definition = TRY(read_string(format.at("definition"), field + ".definition"));
      if (syntax != "regex" && syntax != "lark")
        return invalid_argument(
            field + ".syntax is " + shown(format.at("syntax")) + ", must be lark or regex",
            field + ".syntax");
      tools.formed.push_back({.name = name, .field = field, .by_regex = syntax == "regex"});
      if (syntax == "regex" && !is_balanced(definition))
        return invalid_argument(field + ".definition has parentheses that do not match",
                                field + ".definition");
      if (syntax == "regex") pattern = "^(?:" + definition + ")$";
      form = "The " + std::string(kTextArgument) + " matches this " +
             (syntax == "regex" ? "regular expression" : "Lark grammar") + ":\n" + definition;
    } else if (kind != "text") {
      return invalid_argument(field + ".type is " + shown(*type) + ", must be text or grammar",
                              field + ".type");
    }
  }
  std::string description;
  if (const json::value* value = present(object, "description"); value != nullptr)
    description = TRY(read_string(*value, path + ".description"));
  if (!form.empty()) description += (description.empty() ? "" : "\n") + form;
  json::object function{{"name", name}};
  if (!description.empty()) function["description"] = description;
  json::object schema{{"type", "object"},
                      {"properties", json::object{{kTextArgument, argument}}},
                      {"required", json::array{json::string(kTextArgument.data(), kTextArgument.size())}},
                      {"additionalProperties", false}};
  function["parameters"] = schema;
  if (!pattern.empty()) argument["pattern"] = pattern;
  schema["properties"] = json::object{{kTextArgument, argument}};
  std::string parameters;
  append_json_value(parameters, schema);
  tools.text_tools.push_back(name);
  Tool tool = declared(std::move(name), function, std::move(parameters));
  tool.strict = !pattern.empty();
  return tool;
}

Result<std::string> type_of(const json::object& object, const std::string& path) {
  const json::value* type = present(object, "type");
  if (type == nullptr) return missing_field(path + ".type");
  return read_string(*type, path + ".type");
}

// The name that {"type": …, "name": …} gives, which must be one of the tools of its kind.
Result<std::string> chosen_name(const json::object& choice, const std::string& path,
                                const ResponseTools& tools) {
  const std::string type = TRY(type_of(choice, path));
  if (type != "function" && type != "custom") {
    if (!is_built_in(type))
      return invalid_argument(
          path + ".type is '" + type.substr(0, 40) + "', must be function, custom or allowed_tools",
          path + ".type");
    return Error(
        ErrorKind::kUnsupported,
        path + " names the tool '" + type.substr(0, 40) + "', which is not supported: name a function", path);
  }
  const json::value* value = present(choice, "name");
  if (value == nullptr) return missing_field(path + ".name");
  std::string name = TRY(read_string(*value, path + ".name"));
  const bool is_custom =
      std::find(tools.text_tools.begin(), tools.text_tools.end(), name) != tools.text_tools.end();
  const bool is_known = std::any_of(tools.tools.begin(), tools.tools.end(),
                                    [&](const Tool& tool) { return tool.name == name; });
  if (!is_known || is_custom != (type == "custom"))
    return invalid_argument(path + " names '" + name.substr(0, 60) + "', which is none of the tools",
                            path + ".name");
  return name;
}

// {"type": "allowed_tools", "mode": …, "tools": […]}
Result<void> allow_tools(const json::object& choice, ResponseTools& tools, Conversation& conversation) {
  const json::value* mode = present(choice, "mode");
  if (mode == nullptr) return missing_field("tool_choice.mode");
  const std::string how = TRY(read_string(*mode, "tool_choice.mode"));
  if (how != "auto" && how != "required")
    return invalid_argument("tool_choice.mode is " + shown(*mode) + ", must be auto or required",
                            "tool_choice.mode");
  conversation.must_call = how == "required";
  const json::value* list = present(choice, "tools");
  if (list == nullptr) return missing_field("tool_choice.tools");
  std::vector<std::string> names;
  const json::array& allowed = *TRY(read_array(*list, "tool_choice.tools"));
  for (std::size_t i = 0; i < allowed.size(); ++i) {
    const std::string path = "tool_choice.tools[" + std::to_string(i) + "]";
    const json::object& tool = *TRY(read_object(allowed[i], path));
    const std::string type = TRY(type_of(tool, path));
    if (is_built_in(type))
      tools.ignored.push_back(path + " (" + type + ")");
    else
      names.push_back(TRY(chosen_name(tool, path, tools)));
  }
  std::erase_if(conversation.tools, [&](const Tool& tool) {
    return std::find(names.begin(), names.end(), tool.name) == names.end();
  });
  return {};
}

// A Lark grammar cannot be part of a call's JSON: where the call is left to the model, what it says there is
// too.
Result<void> check_forms(ResponseTools& tools, const Conversation& conversation) {
  if (conversation.must_call) {
    for (const ResponseTools::Formed& each : tools.formed) {
      const bool may_come = conversation.tool_to_call.empty() || conversation.tool_to_call == each.name;
      if (may_come && !each.by_regex)
        return Error(ErrorKind::kUnsupported,
                     each.field +
                         " is a Lark grammar, which a forced call cannot be held to yet: take a regex, "
                         "or tool_choice auto",
                     each.field);
    }
    return {};
  }
  for (const ResponseTools::Formed& each : tools.formed) {
    if (!each.by_regex) tools.ignored.push_back(each.field);
  }
  return {};
}

}  // namespace

Result<ResponseTools> read_response_tools(const json::value& value) {
  const json::array& list = *TRY(read_array(value, "tools"));
  if (list.size() > kMaxTools)
    return invalid_argument("tools has " + std::to_string(list.size()) + " entries, at most " +
                                std::to_string(kMaxTools) + " are taken",
                            "tools");
  ResponseTools result;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string path = "tools[" + std::to_string(i) + "]";
    const json::object& object = *TRY(read_object(list[i], path));
    const std::string type = TRY(type_of(object, path));
    if (is_built_in(type)) {
      result.ignored.push_back(path + " (" + type + ")");
      result.missing.push_back(type);
      continue;
    }
    if (type != "function" && type != "custom")
      return invalid_argument(path + ".type is '" + type.substr(0, 40) + "', must be function or custom",
                              path + ".type");
    Tool tool =
        type == "function" ? TRY(read_function(object, path)) : TRY(read_custom(object, path, result));
    if (std::any_of(result.tools.begin(), result.tools.end(),
                    [&](const Tool& other) { return other.name == tool.name; }))
      return invalid_argument(path + ".name is '" + tool.name + "', which an earlier tool has",
                              path + ".name");
    result.tools.push_back(std::move(tool));
    result.honoured.push_back(list[i]);
  }
  return result;
}

Result<void> choose_tools(const json::value* choice, ResponseTools& tools, Conversation& conversation) {
  conversation.tools = tools.tools;
  if (choice != nullptr && choice->is_object()) {
    const json::object& object = choice->get_object();
    if (TRY(type_of(object, "tool_choice")) == "allowed_tools") {
      TRY(allow_tools(object, tools, conversation));
    } else {
      conversation.tool_to_call = TRY(chosen_name(object, "tool_choice", tools));
      conversation.must_call = true;
    }
  } else if (choice != nullptr) {
    const std::string how = TRY(read_string(*choice, "tool_choice"));
    if (how != "none" && how != "auto" && how != "required")
      return invalid_argument("tool_choice is " + shown(*choice) + ", must be none, auto, required or a tool",
                              "tool_choice");
    if (how == "none") conversation.tools.clear();
    conversation.must_call = how == "required";
  }
  if (conversation.must_call && conversation.tools.empty())
    return invalid_argument("tool_choice forces a call, but there are no tools that can be called",
                            "tool_choice");
  return check_forms(tools, conversation);
}

}  // namespace mlxd::api::openai
