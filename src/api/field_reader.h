// Reading request objects by a table of fields: each is honoured, only informs, or is refused, and every
// error names the field, its value and what would do. Pure functions.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mlxd::api {

/// Parses a request's body. Errors (kInvalidArgument): no JSON, with the place; deeper than kMaxJsonDepth;
/// invalid UTF-8; no object.
Result<boost::json::object> parse_request_object(std::string_view body);
inline constexpr std::size_t kMaxJsonDepth = 100;

// Typed values. `field` is the path for messages: "messages[2].role". Numbers that are integral may be
// written as floats (10.0); strings are never taken for numbers.
Result<bool> read_boolean(const boost::json::value& value, std::string_view field);
Result<std::int64_t> read_integer(const boost::json::value& value, std::string_view field, std::int64_t min,
                                  std::int64_t max);
Result<float> read_number(const boost::json::value& value, std::string_view field, double min, double max);
Result<std::string> read_string(const boost::json::value& value, std::string_view field);
Result<const boost::json::object*> read_object(const boost::json::value& value, std::string_view field);
Result<const boost::json::array*> read_array(const boost::json::value& value, std::string_view field);

/// "must be a string, but is 5" with long values cut.
Error wrong_type(const boost::json::value& value, std::string_view field, std::string_view wanted);
Error missing_field(std::string_view field);
/// The value as JSON, cut after some sixty characters; for messages.
std::string shown(const boost::json::value& value);

enum class FieldUse {
  kHonoured,  // `read` takes it into the target
  kInforms,   // accepted, changes nothing that is generated
  kRefused,   // only values for which `read` finds no harm, or null
};

template <typename Target>
struct Field {
  std::string_view name;
  FieldUse use = FieldUse::kHonoured;
  /// Not called for null, which means absent. May be nullptr for fields that inform (any value) or are
  /// refused (none).
  Result<void> (*read)(const boost::json::value& value, std::string_view field, Target& target) = nullptr;
  /// For refused ones: what to do instead.
  std::string_view advice = {};
};

/// `name` is refused: "tools is not supported: …".
Error refused_field(std::string_view name, std::string_view advice);
/// No table has `name`; suggests the nearest of `known`.
Error unknown_field(std::string_view name, std::span<const std::string> known);

/// Reads all of `object` by the table. A field that stands in no row is an error.
template <typename Target>
Result<void> read_fields(const boost::json::object& object, std::span<const Field<Target>> table,
                         Target& target) {
  for (const auto& [key, value] : object) {
    const std::string_view name(key.data(), key.size());
    const Field<Target>* field = nullptr;
    for (const Field<Target>& row : table) {
      if (row.name == name) field = &row;
    }
    if (field == nullptr) {
      std::vector<std::string> known;
      for (const Field<Target>& row : table) known.emplace_back(row.name);
      return unknown_field(name, known);
    }
    if (value.is_null()) continue;
    if (field->read != nullptr) {
      TRY(field->read(value, name, target));
    } else if (field->use == FieldUse::kRefused) {
      return refused_field(name, field->advice);
    }
  }
  return {};
}

}  // namespace mlxd::api
