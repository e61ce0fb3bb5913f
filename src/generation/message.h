// A conversation as values, the common form of every dialect's messages.
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

struct Message {
  Role role = Role::kUser;
  std::string content;
  std::string name;          // optional participant name; empty: none
  std::string tool_call_id;  // role tool: the call it answers; empty: none
};

}  // namespace mlxd
