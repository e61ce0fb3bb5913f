// A name for what a model's folder has in it that changes when it does, without reading the weights. A
// function.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"

namespace mlxd {

/// SHA-256, in hexadecimal, of a list of the folder's files in order of their names: name, size, and, of a
/// link into the hub's cache, the hash that names its blob, of any other file the time of its last change.
/// Errors: kIo (the folder cannot be read), kOutOfMemory.
Result<std::string> model_digest(const std::filesystem::path& folder);

}  // namespace mlxd
