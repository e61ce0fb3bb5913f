#include "api/field_reader.h"

#include <algorithm>
#include <array>
#include <boost/json/serialize.hpp>
#include <boost/json/stream_parser.hpp>
#include <charconv>
#include <cmath>
#include <exception>

#include "api/json_text.h"
#include "base/nearest_names.h"

namespace mlxd::api {

namespace json = boost::json;

namespace {

constexpr std::size_t kShownBytes = 60;

std::string named(std::string_view field, std::string_view rest) {
  return std::string(field) + std::string(rest);
}

std::string number_text(double value) {
  std::array<char, 32> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  return {digits.data(), end};
}

Error out_of_range(const json::value& value, std::string_view field, const std::string& min,
                   const std::string& max) {
  return invalid_argument(named(field, " is " + shown(value) + ", must be between " + min + " and " + max),
                          std::string(field));
}

}  // namespace

Result<json::object> parse_request_object(std::string_view body) {
  if (body.empty()) return invalid_argument("the request has no body: send a JSON object");
  if (!is_valid_utf8(body)) return invalid_argument("the request's body is not valid UTF-8");
  json::parse_options options;
  options.max_depth = kMaxJsonDepth;
  json::error_code code;
  try {
    json::stream_parser parser(json::storage_ptr(), options);
    const std::size_t parsed = parser.write_some(body.data(), body.size(), code);
    if (!code && parsed < body.size()) code = json::error::extra_data;
    if (!code) parser.finish(code);
    if (code == json::error::too_deep)
      return invalid_argument("the request's body is nested deeper than " + std::to_string(kMaxJsonDepth) +
                              " levels");
    if (code)
      return invalid_argument("the request's body is not valid JSON: " + code.message() + " at byte " +
                              std::to_string(parsed));
    json::value value = parser.release();
    if (!value.is_object())
      return invalid_argument("the request's body must be a JSON object, but is " + shown(value));
    return std::move(value.get_object());
  } catch (const std::exception& failure) {
    return invalid_argument(std::string("the request's body cannot be read: ") + failure.what());
  }
}

std::string shown(const json::value& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list of " + std::to_string(value.get_array().size());
  std::string text;
  if (value.is_double()) {
    text = number_text(value.get_double());
  } else if (value.is_string()) {
    const auto& string = value.get_string();
    append_json_string(text, std::string_view(string.data(), std::min(string.size(), kShownBytes)));
    if (string.size() > kShownBytes) text += "…";
  } else {
    text = json::serialize(value);
  }
  return text;
}

Error wrong_type(const json::value& value, std::string_view field, std::string_view wanted) {
  return invalid_argument(named(field, " must be " + std::string(wanted) + ", but is " + shown(value)),
                          std::string(field));
}

Error missing_field(std::string_view field) {
  return invalid_argument(named(field, " is missing: it is required"), std::string(field));
}

Error refused_field(std::string_view name, std::string_view advice) {
  return {
      ErrorKind::kUnsupported,
      std::string(name) + " is not supported" + (advice.empty() ? std::string() : ": " + std::string(advice)),
      std::string(name)};
}

Error unknown_field(std::string_view name, const std::vector<FieldInfo>& known, std::string_view path) {
  const std::string short_name(name.substr(0, kShownBytes));
  const std::string field = path.empty() ? short_name : named(path, "." + short_name);
  std::string message = "unknown parameter '" + field + "'";
  std::vector<std::string> names;
  for (const FieldInfo& each : known) names.emplace_back(each.name);
  const auto nearest = nearest_names(name, names, 1);
  if (!nearest.empty() && is_slip(name, nearest[0]))
    message += ": did you mean '" + nearest[0] + "'?";
  else
    message += ": leave it out";
  return invalid_argument(std::move(message), field);
}

Error wrong_choice(const json::value& value, std::string_view field,
                   std::span<const std::string_view> choices) {
  std::string message = named(field, " is " + shown(value) + ", must be ");
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (i > 0) message += i + 1 == choices.size() ? " or " : ", ";
    message += choices[i];
  }
  return invalid_argument(std::move(message), std::string(field));
}

const json::value* present(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && !value->is_null() ? value : nullptr;
}

Result<bool> read_boolean(const json::value& value, std::string_view field) {
  if (!value.is_bool()) return wrong_type(value, field, "true or false");
  return value.get_bool();
}

Result<std::int64_t> read_integer(const json::value& value, std::string_view field, std::int64_t min,
                                  std::int64_t max) {
  std::int64_t number = 0;
  if (value.is_int64()) {
    number = value.get_int64();
  } else if (value.is_uint64()) {
    return out_of_range(value, field, std::to_string(min), std::to_string(max));
  } else if (value.is_double()) {
    const double real = value.get_double();
    if (std::trunc(real) != real) return wrong_type(value, field, "an integer");
    // The first double that is not an int64.
    if (!(std::fabs(real) < 9223372036854775808.0))
      return out_of_range(value, field, std::to_string(min), std::to_string(max));
    number = static_cast<std::int64_t>(real);
  } else {
    return wrong_type(value, field, "an integer");
  }
  if (number < min || number > max)
    return out_of_range(value, field, std::to_string(min), std::to_string(max));
  return number;
}

Result<std::int32_t> read_int32(const json::value& value, std::string_view field) {
  using Limits = std::numeric_limits<std::int32_t>;
  return static_cast<std::int32_t>(TRY(read_integer(value, field, Limits::min(), Limits::max())));
}

Result<float> read_number(const json::value& value, std::string_view field, double min, double max) {
  double number = 0.0;
  if (value.is_double())
    number = value.get_double();
  else if (value.is_int64())
    number = static_cast<double>(value.get_int64());
  else if (value.is_uint64())
    number = static_cast<double>(value.get_uint64());
  else
    return wrong_type(value, field, "a number");
  if (!(number >= min && number <= max))
    return out_of_range(value, field, number_text(min), number_text(max));
  return static_cast<float>(number);
}

Result<std::string> read_string(const json::value& value, std::string_view field) {
  if (!value.is_string()) return wrong_type(value, field, "a string");
  return std::string(value.get_string());
}

Result<const json::object*> read_object(const json::value& value, std::string_view field) {
  if (!value.is_object()) return wrong_type(value, field, "an object");
  return &value.get_object();
}

Result<const json::array*> read_array(const json::value& value, std::string_view field) {
  if (!value.is_array()) return wrong_type(value, field, "a list");
  return &value.get_array();
}

Result<void> check_shape(const json::value& value, std::string_view field, const ValueShape& shape) {
  using Kind = ValueShape::Kind;
  switch (shape.kind) {
    case Kind::kAny:
    case Kind::kTyped:
      break;
    case Kind::kBoolean:
      TRY(read_boolean(value, field));
      break;
    case Kind::kInteger:
      TRY(read_integer(value, field, shape.least_integer, shape.most_integer));
      break;
    case Kind::kNumber: {
      const float number = TRY(read_number(value, field, shape.least, shape.most));
      if (shape.above_least && !(static_cast<double>(number) > shape.least))
        return invalid_argument(
            named(field, " is " + shown(value) + ", must be above " + number_text(shape.least) +
                             " and at most " + number_text(shape.most)),
            std::string(field));
      break;
    }
    case Kind::kText: {
      if (!value.is_string()) return wrong_type(value, field, "a string");
      const std::string_view said(value.get_string().data(), value.get_string().size());
      if (!shape.choices.empty() &&
          std::find(shape.choices.begin(), shape.choices.end(), said) == shape.choices.end())
        return wrong_choice(value, field, shape.choices);
      break;
    }
    case Kind::kObject:
      TRY(read_object(value, field));
      break;
  }
  return {};
}

}  // namespace mlxd::api
