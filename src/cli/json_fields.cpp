#include "cli/json_fields.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "base/clock.h"
#include "cli/format.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

const json::value* find(const json::object& object, std::string_view key) {
  return object.if_contains(json::string_view(key.data(), key.size()));
}

}  // namespace

std::vector<json::object> objects_of(const json::value& answer, std::string_view key) {
  std::vector<json::object> objects;
  const json::object* object = answer.if_object();
  const json::value* list = object == nullptr ? nullptr : find(*object, key);
  if (list == nullptr || !list->is_array()) return objects;
  for (const json::value& entry : list->get_array())
    if (entry.is_object()) objects.push_back(entry.get_object());
  return objects;
}

std::string text_of(const json::object& object, std::string_view key) {
  const json::value* value = find(object, key);
  if (value == nullptr || value->is_null()) return {};
  return value->is_string() ? std::string(value->get_string()) : json::serialize(*value);
}

std::string age_of(const json::object& object, std::string_view key, const std::string& otherwise) {
  const json::value* value = find(object, key);
  if (value == nullptr || !value->is_int64()) return otherwise;
  return format_age(Clock::real().wall_seconds() - value->get_int64());
}

}  // namespace mlxd::cli
