#include "text/tool_prompt.h"

#include "text/dialects/json_scanner.h"

namespace mlxd {

std::string tool_prompt(std::span<const Tool> tools) {
  std::string text =
      "You may call functions to help with the user's request. These are the functions, each with the JSON "
      "schema of its arguments:\n<tools>\n";
  for (const Tool& tool : tools) {
    text += tool.declaration_json;
    text += '\n';
  }
  text +=
      "</tools>\n\nTo call a function, answer with its name and arguments as a JSON object inside "
      "<tool_call></tool_call> tags, one pair of tags for each call:\n<tool_call>\n"
      "{\"name\": \"FUNCTION\", \"arguments\": {ARGUMENTS}}\n</tool_call>\n"
      "The results come in <tool_response></tool_response> tags. If no function helps, answer in words.";
  return text;
}

std::string tool_call_text(const ToolCall& call) {
  std::string text = "<tool_call>\n{\"name\": ";
  dialects::append_quoted(text, call.name);
  text += ", \"arguments\": " + (call.arguments.empty() ? "{}" : call.arguments) + "}\n</tool_call>";
  return text;
}

std::string tool_result_text(std::string_view result) {
  return "<tool_response>\n" + std::string(result) + "\n</tool_response>";
}

}  // namespace mlxd
