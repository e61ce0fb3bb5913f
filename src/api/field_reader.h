// Reading request objects by a table of fields: each is honoured, only informs, or is refused, and every
// error names the field, its value and what would do. Pure functions.
#pragma once

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <concepts>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/field_shape.h"
#include "base/result.h"

namespace mlxd::api {

/// Parses a request's body. Errors (kInvalidArgument): no JSON, with the place; deeper than kMaxJsonDepth;
/// invalid UTF-8; no object.
Result<boost::json::object> parse_request_object(std::string_view body);
inline constexpr std::size_t kMaxJsonDepth = 100;

// Typed values. `field` is the path for messages: "messages[2].role". Numbers that are integral may be
// written as floats (10.0); strings are never taken for numbers. Where the field's shape has the range, the
// type's own is enough here.
Result<bool> read_boolean(const boost::json::value& value, std::string_view field);
Result<std::int64_t> read_integer(const boost::json::value& value, std::string_view field,
                                  std::int64_t min = std::numeric_limits<std::int64_t>::min(),
                                  std::int64_t max = std::numeric_limits<std::int64_t>::max());
Result<std::int32_t> read_int32(const boost::json::value& value, std::string_view field);
Result<float> read_number(const boost::json::value& value, std::string_view field,
                          double min = std::numeric_limits<float>::lowest(),
                          double max = std::numeric_limits<float>::max());
Result<std::string> read_string(const boost::json::value& value, std::string_view field);
Result<const boost::json::object*> read_object(const boost::json::value& value, std::string_view field);
Result<const boost::json::array*> read_array(const boost::json::value& value, std::string_view field);

/// "must be a string, but is 5" with long values cut.
Error wrong_type(const boost::json::value& value, std::string_view field, std::string_view wanted);
Error missing_field(std::string_view field);
/// "is 5, must be a, b or c"
Error wrong_choice(const boost::json::value& value, std::string_view field,
                   std::span<const std::string_view> choices);
/// A member that is neither absent nor null, which means the same.
const boost::json::value* present(const boost::json::object& object, std::string_view key);
/// The value as JSON, cut after some sixty characters; for messages.
std::string shown(const boost::json::value& value);

template <typename Target>
struct Field {
  std::string_view name;
  FieldUse use = FieldUse::kHonoured;
  /// Takes a value of the field's shape into the target. Not called for null, which means absent. May be
  /// nullptr for fields that inform or are refused (whatever their value).
  Result<void> (*read)(const boost::json::value& value, std::string_view field, Target& target) = nullptr;
  Meaning meaning = {};
};

/// What a table says of its fields.
template <typename Target>
std::vector<FieldInfo> infos_of(std::span<const Field<Target>> table) {
  std::vector<FieldInfo> infos;
  infos.reserve(table.size());
  for (const Field<Target>& row : table) infos.push_back({row.name, row.use, row.meaning});
  return infos;
}

/// `name` is refused: "tools is not supported: …".
Error refused_field(std::string_view name, std::string_view advice);
/// No row of `known` has `name`, a member of what lies at `path`; suggests the nearest.
Error unknown_field(std::string_view name, const std::vector<FieldInfo>& known, std::string_view path = {});

/// What becomes of fields that stand in no row.
enum class UnknownFields : std::uint8_t { kRefuse, kWarn };

/// Targets that may let fields through that stand in no row: told the path of each, they say whether they do.
template <typename Target>
concept MayIgnoreFields = requires(Target& target, std::string path) {
  { target.ignore_unknown(std::move(path)) } -> std::same_as<bool>;
};
/// Of a longer name the beginning is told.
inline constexpr std::size_t kToldNameBytes = 60;

/// Reads all of `object` by the table: its members are called PATH.NAME, or NAME if `path` is empty. A field
/// that stands in no row is an error unless the target ignores it, as is a required one that is not there.
template <typename Target>
Result<void> read_fields(const boost::json::object& object, std::span<const Field<Target>> table,
                         Target& target, std::string_view path = {}) {
  const auto path_to = [path](std::string_view name) {
    return path.empty() ? std::string(name) : std::string(path) + "." + std::string(name);
  };
  for (const auto& [key, value] : object) {
    const std::string_view name(key.data(), key.size());
    const auto row = std::find_if(table.begin(), table.end(),
                                  [name](const Field<Target>& field) { return field.name == name; });
    if (row == table.end()) {
      if constexpr (MayIgnoreFields<Target>) {
        if (target.ignore_unknown(path_to(name.substr(0, kToldNameBytes)))) continue;
      }
      return unknown_field(name, infos_of(table), path);
    }
    if (value.is_null()) continue;
    const std::string field = path_to(name);
    TRY(check_shape(value, field, row->meaning.shape));
    if (row->read != nullptr) {
      TRY(row->read(value, field, target));
    } else if (row->use == FieldUse::kRefused) {
      return refused_field(field, row->meaning.about);
    }
  }
  for (const Field<Target>& row : table) {
    if (row.use != FieldUse::kRequired) continue;
    const boost::json::value* value = object.if_contains(row.name);
    if (value == nullptr || value->is_null()) return missing_field(path_to(row.name));
  }
  return {};
}

}  // namespace mlxd::api
