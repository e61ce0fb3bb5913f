// Ids of tool_use blocks. Anthropic's have letters, digits, _ and - only, and a client may hold them to that;
// a model may write ids of its own with other signs in them (Kimi K2's functions.NAME:0), and its template
// wants them back as they were. Functions.
#pragma once

#include <string>
#include <string_view>

namespace mlxd::api::anthropic {

std::string block_id(std::string_view call_id);
/// The call's id that a block's stands for; ids that block_id did not have to change are the same in both but
/// for their prefix, which stays as it is.
std::string call_id_of(std::string_view block_id);

}  // namespace mlxd::api::anthropic
