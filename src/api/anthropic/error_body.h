// An error as Anthropic's clients read it: {"type":"error","error":{type, message},"request_id"}. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace mlxd::api::anthropic {

/// The status that goes with an error of ours: 529 where too much is asked of the server at once, as
/// Anthropic has it in place of 503.
int status_for(int status, const Error& error);

/// `status` is the HTTP status, ours or Anthropic's. Without a `request_id` none is told.
std::string encode_error(int status, const Error& error, std::string_view request_id);

}  // namespace mlxd::api::anthropic
