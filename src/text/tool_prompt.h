// Tools for models whose template knows none: told in the system message, called and answered in text, in the
// hermes dialect. docs/text.md has the whole text. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "generation/conversation.h"

namespace mlxd {

/// What is added to the system message.
std::string tool_prompt(std::span<const Tool> tools);
/// An earlier call, as the assistant's text.
std::string tool_call_text(const ToolCall& call);
/// Its result, as a user's.
std::string tool_result_text(std::string_view result);

}  // namespace mlxd
