#include "catalog/json_reading.h"

#include <cerrno>
#include <fstream>
#include <new>

namespace mlxd {

namespace json = boost::json;

Result<json::value> parse_json_text(std::string_view text, std::string_view what) {
  json::parse_options options;
  options.max_depth = 64;
  try {
    json::error_code code;
    json::value value = json::parse({text.data(), text.size()}, code, {}, options);
    if (code) return corrupt_data(std::string(what) + " is no JSON: " + code.message());
    return value;
  } catch (const std::bad_alloc&) {
    return Error(ErrorKind::kOutOfMemory, std::string(what) + " does not fit into memory");
  }
}

Result<json::object> parse_json_object(std::string_view text, std::string_view what) {
  json::value value = TRY(parse_json_text(text, what));
  if (!value.is_object()) return corrupt_data(std::string(what) + " is no JSON object");
  return std::move(value.get_object());
}

Result<std::string> read_text_file(const std::filesystem::path& file, std::size_t max_bytes) {
  std::error_code code;
  const auto size = std::filesystem::file_size(file, code);
  if (code == std::errc::no_such_file_or_directory) return not_found("there is no file " + file.string());
  if (code) return io_error("cannot read " + file.string(), code.value());
  if (size > max_bytes) return corrupt_data(file.string() + " is too large to be what its name says");
  std::ifstream stream(file, std::ios::binary);
  std::string text(static_cast<std::size_t>(size), '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!stream) return io_error("cannot read " + file.string(), errno != 0 ? errno : EIO);
  return text;
}

const json::object* object_at(const json::object& parent, std::string_view key) {
  const json::value* value = parent.if_contains({key.data(), key.size()});
  return value == nullptr ? nullptr : value->if_object();
}

std::string text_at(const json::object& parent, std::string_view key) {
  const json::value* value = parent.if_contains({key.data(), key.size()});
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::int64_t integer_at(const json::object& parent, std::string_view key) {
  const json::value* value = parent.if_contains({key.data(), key.size()});
  if (value == nullptr) return 0;
  if (value->is_int64()) return value->get_int64();
  // Some converters write 4096.0.
  if (value->is_double() && value->get_double() >= 0.0 && value->get_double() < 9.0e15)
    return static_cast<std::int64_t>(value->get_double());
  return 0;
}

}  // namespace mlxd
