// An error as OpenAI's clients read it: {"error": {message, type, param, code}}. Pure.
#pragma once

#include <string>

#include "base/error.h"

namespace mlxd::api::openai {

/// `status` is the HTTP status that goes with it.
std::string encode_error(int status, const Error& error);

}  // namespace mlxd::api::openai
