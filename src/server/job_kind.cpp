#include "server/job_kind.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <utility>

#include "api/field_reader.h"

namespace mlxd {
namespace {

namespace json = boost::json;
using Type = JobParameter::Type;

json::string text(std::string_view value) { return json::string(value.data(), value.size()); }

Result<json::value> read_text(const JobParameter& parameter, const json::value& value,
                              const std::string& field) {
  std::string given = TRY(api::read_string(value, field));
  const auto size = static_cast<std::int64_t>(given.size());
  if (size < parameter.min || size > parameter.max)
    return invalid_argument(field + " has " + std::to_string(size) + " bytes, must have " +
                                std::to_string(parameter.min) + " to " + std::to_string(parameter.max),
                            field);
  const bool is_known =
      parameter.choices.empty() ||
      std::find(parameter.choices.begin(), parameter.choices.end(), given) != parameter.choices.end();
  if (is_known) return json::value(text(given));
  std::string names;
  for (const std::string_view each : parameter.choices)
    names += (names.empty() ? "" : ", ") + std::string(each);
  return invalid_argument(field + " is " + api::shown(value) + ", must be one of " + names, field);
}

Result<json::value> read_integers(const JobParameter& parameter, const json::value& value,
                                  const std::string& field) {
  constexpr std::size_t kMost = 32;
  const json::array* given = TRY(api::read_array(value, field));
  if (given->empty() || given->size() > kMost)
    return invalid_argument(
        field + " has " + std::to_string(given->size()) + " numbers, must have 1 to " + std::to_string(kMost),
        field);
  json::array numbers;
  for (std::size_t i = 0; i < given->size(); ++i)
    numbers.push_back(TRY(
        api::read_integer((*given)[i], field + "[" + std::to_string(i) + "]", parameter.min, parameter.max)));
  return json::value(std::move(numbers));
}

Result<json::value> read_value(const JobParameter& parameter, const json::value& value,
                               const std::string& field) {
  switch (parameter.type) {
    case Type::kText:
    case Type::kLongText:
      return read_text(parameter, value, field);
    case Type::kInteger:
      return json::value(TRY(api::read_integer(value, field, parameter.min, parameter.max)));
    case Type::kIntegers:
      return read_integers(parameter, value, field);
    case Type::kBoolean:
      return json::value(TRY(api::read_boolean(value, field)));
  }
  return json::value(nullptr);
}

}  // namespace

std::string_view to_string(JobParameter::Type type) {
  switch (type) {
    case Type::kText:
      return "text";
    case Type::kLongText:
      return "long_text";
    case Type::kInteger:
      return "integer";
    case Type::kIntegers:
      return "integers";
    case Type::kBoolean:
      return "boolean";
  }
  return "text";
}

std::string JobWish::text(std::string_view name) const {
  const json::value* value = parameters.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::int64_t JobWish::integer(std::string_view name, std::int64_t otherwise) const {
  const json::value* value = parameters.if_contains(name);
  return value != nullptr && value->is_int64() ? value->get_int64() : otherwise;
}

bool JobWish::boolean(std::string_view name) const {
  const json::value* value = parameters.if_contains(name);
  return value != nullptr && value->is_bool() && value->get_bool();
}

Result<JobWish> read_job_parameters(const JobKind& kind, const json::object& given) {
  const auto find = [&](std::string_view name) {
    return std::find_if(kind.parameters.begin(), kind.parameters.end(),
                        [&](const JobParameter& parameter) { return parameter.name == name; });
  };
  for (const auto& [key, value] : given) {
    const std::string name(key.data(), key.size());
    if (find(name) != kind.parameters.end()) continue;
    std::vector<api::FieldInfo> known;
    for (const JobParameter& parameter : kind.parameters) known.push_back({.name = parameter.name});
    return api::unknown_field(name, known, "parameters");
  }
  JobWish wish;
  for (const JobParameter& parameter : kind.parameters) {
    const std::string field = "parameters." + std::string(parameter.name);
    const json::value* value = given.if_contains(parameter.name);
    if (value == nullptr || value->is_null()) {
      if (parameter.required) return api::missing_field(field);
      if (!parameter.otherwise.is_null()) wish.parameters[parameter.name] = parameter.otherwise;
      continue;
    }
    json::value read = TRY(read_value(parameter, *value, field));
    if (parameter.type == Type::kLongText)
      wish.input = std::string(read.get_string());
    else
      wish.parameters[parameter.name] = std::move(read);
  }
  return wish;
}

json::object job_kind_json(const JobKind& kind) {
  json::array parameters;
  for (const JobParameter& parameter : kind.parameters) {
    json::object described{{"name", text(parameter.name)},
                           {"type", text(to_string(parameter.type))},
                           {"about", text(parameter.about)},
                           {"required", parameter.required},
                           {"default", parameter.otherwise}};
    if (!parameter.choices.empty()) {
      json::array choices;
      for (const std::string_view choice : parameter.choices) choices.emplace_back(text(choice));
      described["choices"] = std::move(choices);
    } else if (parameter.type != Type::kBoolean) {
      described["min"] = parameter.min;
      described["max"] = parameter.max;
    }
    parameters.push_back(std::move(described));
  }
  return {{"kind", text(kind.name)},
          {"about", text(kind.about)},
          {"admin_only", kind.admin_only},
          {"parameters", std::move(parameters)}};
}

}  // namespace mlxd
