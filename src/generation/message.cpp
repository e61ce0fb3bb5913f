#include "generation/message.h"

namespace mlxd {

std::string_view to_string(Role role) {
  switch (role) {
    case Role::kSystem:
      return "system";
    case Role::kUser:
      return "user";
    case Role::kAssistant:
      return "assistant";
    case Role::kTool:
      return "tool";
  }
  return "user";
}

Result<Role> parse_role(std::string_view name) {
  if (name == "system" || name == "developer") return Role::kSystem;
  if (name == "user") return Role::kUser;
  if (name == "assistant") return Role::kAssistant;
  if (name == "tool") return Role::kTool;
  return invalid_argument("role '" + std::string(name.substr(0, 40)) +
                              "' is unknown: use system, developer, user, assistant or tool",
                          "role");
}

}  // namespace mlxd
