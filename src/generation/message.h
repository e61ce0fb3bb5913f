// A conversation's messages as values, the common form of every dialect's.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mlxd {

enum class Role { kSystem, kUser, kAssistant, kTool };
std::string_view to_string(Role role);
/// "developer" is another name of system. Errors: kInvalidArgument naming the role.
Result<Role> parse_role(std::string_view name);

/// A call that the assistant made in an earlier turn.
struct ToolCall {
  std::string id;  // empty: none
  std::string name;
  std::string arguments;  // JSON text, as the model or the client wrote it
};

struct Message {
  Role role = Role::kUser;
  std::string content;            // of several text parts: one after the other
  std::string name = {};          // optional participant name, or of the tool that answers; empty: none
  std::string tool_call_id = {};  // role tool: the call it answers; empty: none
  std::string reasoning = {};     // role assistant: what it thought before it answered
  std::vector<ToolCall> tool_calls = {};  // role assistant: made after the content
  std::string further_json = {};          // object of further keys that a template may read; empty: none
};

}  // namespace mlxd
