// What a field of a request means and which values it takes, as data: requests are held against it, and the
// document of the API (api/document/) says it.
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mlxd::api {

enum class FieldUse : std::uint8_t {
  kRequired,  // honoured, and must be there
  kHonoured,  // changes what is done
  kInforms,   // accepted, changes nothing that is done
  kRefused,   // only values that ask for nothing, or null
};

struct FieldInfo;

/// The values that a field takes. Made by the functions below.
struct ValueShape {
  enum class Kind : std::uint8_t {
    kAny,      // nothing is checked here
    kBoolean,  //
    kInteger,  // within [least_integer, most_integer]; may be written as a float (10.0)
    kNumber,   // within [least, most]
    kText,     // one of `choices`, if there are any
    kObject,   // with `members`, if there are any
    kTyped,    // `type` says it; only its reader checks it
  };
  Kind kind = Kind::kAny;
  bool above_least = false;   // a number must be above it
  bool open_members = false;  // an object may have others, which change nothing
  std::int64_t least_integer = 0;
  std::int64_t most_integer = 0;
  double least = 0.0;
  double most = 0.0;
  std::span<const std::string_view> choices = {};
  std::string_view type = {};          // in the notation of api/document/type_notation.h
  std::string_view default_json = {};  // empty: none, or told in words
  std::vector<FieldInfo> (*members)() = nullptr;

  constexpr ValueShape by_default(std::string_view json) const {
    ValueShape shape = *this;
    shape.default_json = json;
    return shape;
  }
};

constexpr ValueShape boolean() { return {.kind = ValueShape::Kind::kBoolean}; }
constexpr ValueShape integer(std::int64_t least, std::int64_t most) {
  return {.kind = ValueShape::Kind::kInteger, .least_integer = least, .most_integer = most};
}
/// Up to what 32 bits hold.
constexpr ValueShape count_from(std::int64_t least) {
  return integer(least, std::numeric_limits<std::int32_t>::max());
}
constexpr ValueShape number(double least, double most) {
  return {.kind = ValueShape::Kind::kNumber, .least = least, .most = most};
}
constexpr ValueShape number_above(double least, double most) {
  return {.kind = ValueShape::Kind::kNumber, .above_least = true, .least = least, .most = most};
}
constexpr ValueShape text() { return {.kind = ValueShape::Kind::kText}; }
/// `choices` last as long as the program.
constexpr ValueShape one_of(std::span<const std::string_view> choices) {
  return {.kind = ValueShape::Kind::kText, .choices = choices};
}
constexpr ValueShape object_of(std::vector<FieldInfo> (*members)() = nullptr) {
  return {.kind = ValueShape::Kind::kObject, .members = members};
}
constexpr ValueShape open_object_of(std::vector<FieldInfo> (*members)()) {
  return {.kind = ValueShape::Kind::kObject, .open_members = true, .members = members};
}
constexpr ValueShape typed(std::string_view type) { return {.kind = ValueShape::Kind::kTyped, .type = type}; }

/// What people are told of a field; of a refused one what to do instead.
struct Meaning {
  std::string_view about = {};
  ValueShape shape = {};
};

struct FieldInfo {
  std::string_view name;
  FieldUse use = FieldUse::kHonoured;
  Meaning meaning = {};
};

/// Errors (kInvalidArgument) name `field`, the value and what would do.
Result<void> check_shape(const boost::json::value& value, std::string_view field, const ValueShape& shape);

}  // namespace mlxd::api
