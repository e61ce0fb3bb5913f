// JSON files of a model folder: strict parsing with bounded depth and size. Nothing here throws.
#pragma once

#include <boost/json.hpp>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mlxd {

/// Parses the whole of `text`; nesting is bounded. Errors are kCorruptData and begin with `what`.
Result<boost::json::value> parse_json(std::string_view text, std::string_view what);

/// Reads FILE, which must hold one object. Errors: kNotFound, kIo, kCorruptData (also when over `max_bytes`).
Result<boost::json::object> read_json_object(const std::filesystem::path& file, std::size_t max_bytes);

/// The first key that appears twice in one object of a valid JSON text.
std::optional<std::string> find_duplicate_key(std::string_view text);

/// Indented by two spaces, keys in order, one final newline; arrays of plain values stay on one line.
std::string to_pretty_json(const boost::json::value& value);

}  // namespace mlxd
