#include "text/json_file.h"

#include <boost/json.hpp>

#include "base/mapped_file.h"

namespace mlxd {

namespace json = boost::json;

namespace {

constexpr std::size_t kMaxFileBytes = std::size_t{64} << 20;

/// Boost's own limit of 32 levels is below what configuration files may hold.
json::parse_options deep_options() {
  json::parse_options options;
  options.max_depth = 200;
  return options;
}

}  // namespace

Result<std::string> read_text_file(const std::filesystem::path& path) {
  const MappedFile file = TRY(MappedFile::open(path));
  const auto bytes = file.bytes();
  if (bytes.size() > kMaxFileBytes) {
    return Error(ErrorKind::kTooLarge, path.string() + " has " + std::to_string(bytes.size()) +
                                           " bytes, more than the " + std::to_string(kMaxFileBytes) +
                                           " accepted");
  }
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Result<json::object> read_json_file(const std::filesystem::path& path) {
  auto text = read_text_file(path);
  if (!text) {
    if (text.error().kind == ErrorKind::kNotFound) return json::object();
    return text.take_error();
  }
  boost::system::error_code failure;
  json::value value = json::parse(text.value(), failure, {}, deep_options());
  if (failure || !value.is_object()) {
    return corrupt_data(path.string() + " is not a JSON object" + (failure ? ": " + failure.message() : ""));
  }
  return std::move(value.as_object());
}

}  // namespace mlxd
