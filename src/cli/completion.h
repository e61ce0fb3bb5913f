// What a shell needs to complete command lines of this program. Pure.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/result.h"

namespace mlxd::cli {

/// A script for "bash", "zsh" or "fish". Errors: kInvalidArgument (another shell).
Result<std::string> completion_script(const CLI::App& root, const std::string& shell);

}  // namespace mlxd::cli
