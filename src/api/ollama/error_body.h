// An error as Ollama's clients read it: {"error": "…"}. Pure.
#pragma once

#include <string>

#include "base/error.h"

namespace mlxd::api::ollama {

std::string encode_error(const Error& error);

}  // namespace mlxd::api::ollama
