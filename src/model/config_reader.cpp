#include "model/config_reader.h"

#include <array>
#include <charconv>
#include <cmath>

namespace mlxd {
namespace {

namespace json = boost::json;

constexpr std::size_t kShownCharacters = 60;

std::string to_text(double value) {
  std::array<char, 32> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), result.ptr};
}

std::optional<std::int64_t> as_integer(const json::value& value) {
  if (const auto* i = value.if_int64()) return *i;
  if (const auto* u = value.if_uint64(); u != nullptr && *u <= INT64_MAX)
    return static_cast<std::int64_t>(*u);
  // 2^53: above it a double no longer tells neighbours apart.
  if (const auto* d = value.if_double(); d != nullptr && std::abs(*d) <= 0x1p53 && std::floor(*d) == *d) {
    return static_cast<std::int64_t>(*d);
  }
  return std::nullopt;
}

std::optional<double> as_number(const json::value& value) {
  if (const auto* i = value.if_int64()) return static_cast<double>(*i);
  if (const auto* u = value.if_uint64()) return static_cast<double>(*u);
  if (const auto* d = value.if_double()) return *d;
  return std::nullopt;
}

}  // namespace

const json::value* ConfigReader::find(std::string_view field) const {
  const json::value* value = object_->if_contains(json::string_view(field.data(), field.size()));
  return value == nullptr || value->is_null() ? nullptr : value;
}

Result<std::int64_t> ConfigReader::integer(std::string_view field, std::int64_t min, std::int64_t max) const {
  const json::value* value = find(field);
  const auto number = value != nullptr ? as_integer(*value) : std::nullopt;
  if (!number || *number < min || *number > max) {
    return refuse(field, "an integer between " + std::to_string(min) + " and " + std::to_string(max));
  }
  return *number;
}

Result<std::int64_t> ConfigReader::integer_or(std::string_view field, std::int64_t fallback, std::int64_t min,
                                              std::int64_t max) const {
  if (!has(field)) return fallback;
  return integer(field, min, max);
}

Result<double> ConfigReader::number(std::string_view field, double min, double max) const {
  const json::value* value = find(field);
  const auto number = value != nullptr ? as_number(*value) : std::nullopt;
  if (!number || !(*number >= min) || !(*number <= max)) {
    return refuse(field, "a number between " + to_text(min) + " and " + to_text(max));
  }
  return *number;
}

Result<double> ConfigReader::number_or(std::string_view field, double fallback, double min,
                                       double max) const {
  if (!has(field)) return fallback;
  return number(field, min, max);
}

Result<bool> ConfigReader::boolean_or(std::string_view field, bool fallback) const {
  const json::value* value = find(field);
  if (value == nullptr) return fallback;
  if (!value->is_bool()) return refuse(field, "true or false");
  return value->get_bool();
}

Result<std::string> ConfigReader::string(std::string_view field) const {
  const json::value* value = find(field);
  if (value == nullptr || !value->is_string()) return refuse(field, "a string");
  return std::string(value->get_string());
}

Result<std::string> ConfigReader::string_or(std::string_view field, std::string_view fallback) const {
  if (!has(field)) return std::string(fallback);
  return string(field);
}

Result<std::optional<ConfigReader>> ConfigReader::object(std::string_view field) const {
  const json::value* value = find(field);
  if (value == nullptr) return std::optional<ConfigReader>();
  if (!value->is_object()) return refuse(field, "an object");
  return std::optional(ConfigReader(value->get_object(), file_, prefix_ + std::string(field) + "."));
}

Error ConfigReader::refuse(std::string_view field, std::string_view requirement) const {
  return corrupt_data(shown(field) + (has(field) ? "" : "is missing") + ", must be " +
                      std::string(requirement));
}

Error ConfigReader::refuse_unsupported(std::string_view field, std::string_view hint) const {
  return unsupported(shown(field) + " is not supported; " + std::string(hint));
}

std::string ConfigReader::shown(std::string_view field) const {
  std::string text = file_ + ": " + prefix_ + std::string(field) + ": ";
  if (const json::value* value = find(field)) {
    // Only scalars and small values are worth showing, and a hostile file may hold megabytes.
    if (const auto* s = value->if_string(); s != nullptr && s->size() > kShownCharacters) {
      text += "\"" + std::string(s->subview(0, kShownCharacters)) + "…\"";
    } else if (value->is_object()) {
      text += "an object";
    } else if (value->is_array()) {
      text += "a list";
    } else {
      text += json::serialize(*value);
    }
  }
  return text;
}

}  // namespace mlxd
