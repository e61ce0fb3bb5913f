// What a chat is generated from: messages, the tools on offer, and how the model is to think. Values.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "generation/message.h"

namespace mlxd {

/// A function that the model may call.
struct Tool {
  std::string name;
  std::string declaration_json;  // {"type": "function", "function": {…}}, keys in the client's order
  std::string parameters_json;   // the JSON schema of its arguments; empty: takes none
  bool strict = false;           // calls keep to that schema
};

struct Conversation {
  std::vector<Message> messages;
  std::vector<Tool> tools = {};  // empty: none may be called
  /// The answer is a call, or several.
  bool must_call = false;
  /// The answer is one call of this tool; empty: of any.
  std::string tool_to_call = {};
  /// "none", "on" (as much as it does by itself), "minimal", "low", "medium", "high" or what the model's
  /// template calls it; absent: its default.
  std::optional<std::string> reasoning_effort = {};
  /// Object of further variables of the template; they win over all others.
  std::string template_variables_json = "{}";
};

}  // namespace mlxd
