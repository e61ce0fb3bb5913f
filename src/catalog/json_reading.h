// JSON from the hub and from model folders, read with bounded depth and size, tolerant of what is missing.
// Nothing here throws.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mlxd {

/// Errors: kCorruptData beginning with `what`.
Result<boost::json::value> parse_json_text(std::string_view text, std::string_view what);
Result<boost::json::object> parse_json_object(std::string_view text, std::string_view what);
/// A whole text file. Errors: kNotFound, kIo, kCorruptData (over `max_bytes`).
Result<std::string> read_text_file(const std::filesystem::path& file, std::size_t max_bytes);

/// The member of that type, or nullptr, "", 0.
const boost::json::object* object_at(const boost::json::object& parent, std::string_view key);
std::string text_at(const boost::json::object& parent, std::string_view key);
std::int64_t integer_at(const boost::json::object& parent, std::string_view key);

}  // namespace mlxd
