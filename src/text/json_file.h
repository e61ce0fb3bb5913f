// Reading a model folder's text and JSON files.
#pragma once

#include <boost/json/object.hpp>
#include <filesystem>
#include <string>

#include "base/result.h"

namespace mlxd {

/// Errors: kNotFound, kIo; kTooLarge over 64 MiB.
Result<std::string> read_text_file(const std::filesystem::path& path);
/// The object in a file; empty if there is no such file. Errors: kCorruptData naming the file.
Result<boost::json::object> read_json_file(const std::filesystem::path& path);

}  // namespace mlxd
