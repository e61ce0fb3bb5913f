#include "text/dialects/tool_schemas.h"

#include <boost/json.hpp>

#include "text/dialects/json_scanner.h"

namespace mlxd::dialects {

namespace json = boost::json;

namespace {

constexpr int kMaxSchemaDepth = 16;
constexpr int kMaxSchemas = 1000;  // for one parameter

ValueTypes type_named(std::string_view name) {
  if (name == "string") return kStringType;
  if (name == "integer") return kIntegerType;
  if (name == "number") return kNumberType | kIntegerType;
  if (name == "boolean") return kBooleanType;
  if (name == "null") return kNullType;
  if (name == "array") return kArrayType;
  if (name == "object") return kObjectType;
  return kAnyType;
}

ValueTypes type_of(const json::value& value) {
  if (value.is_string()) return kStringType;
  if (value.is_int64() || value.is_uint64()) return kIntegerType;
  if (value.is_double()) return kNumberType;
  if (value.is_bool()) return kBooleanType;
  if (value.is_null()) return kNullType;
  return value.is_array() ? kArrayType : kObjectType;
}

/// "#/$defs/NAME" and the like, inside the tool's own schema.
const json::value* find_reference(const json::value& root, std::string_view reference) {
  if (!reference.starts_with("#")) return nullptr;
  json::error_code code;
  return root.find_pointer(json::string_view(reference.data() + 1, reference.size() - 1), code);
}

/// `left`: schemas that may yet be looked at, as references make a small text a huge tree.
ValueTypes types_of(const json::value& schema, const json::value& root, int depth, int& left) {
  const json::object* object = schema.if_object();
  if (object == nullptr || depth > kMaxSchemaDepth || --left < 0) return kAnyType;
  if (const json::value* type = object->if_contains("type")) {
    if (type->is_string()) return type_named(type->get_string());
    ValueTypes types = 0;
    if (const json::array* list = type->if_array()) {
      for (const json::value& item : *list) {
        if (item.is_string()) types |= type_named(item.get_string());
      }
    }
    return types != 0 ? types : kAnyType;
  }
  if (const json::value* reference = object->if_contains("$ref");
      reference != nullptr && reference->is_string()) {
    const json::value* found = find_reference(root, reference->get_string());
    return found != nullptr ? types_of(*found, root, depth + 1, left) : kAnyType;
  }
  if (const json::value* constant = object->if_contains("const")) return type_of(*constant);
  ValueTypes types = 0;
  if (const json::value* values = object->if_contains("enum"); values != nullptr && values->is_array()) {
    for (const json::value& value : values->get_array()) types |= type_of(value);
    return types != 0 ? types : kAnyType;
  }
  for (const char* key : {"anyOf", "oneOf"}) {
    const json::value* choices = object->if_contains(key);
    if (choices == nullptr || !choices->is_array()) continue;
    for (const json::value& choice : choices->get_array()) types |= types_of(choice, root, depth + 1, left);
  }
  if (const json::value* all = object->if_contains("allOf"); all != nullptr && all->is_array()) {
    ValueTypes common = kAnyType;
    for (const json::value& part : all->get_array()) common &= types_of(part, root, depth + 1, left);
    types |= common;
  }
  return types != 0 ? types : kAnyType;
}

std::string_view trimmed_tool_schemas(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

}  // namespace

ValueTypes types_of_schema(const json::value& schema, const json::value& root) {
  int left = kMaxSchemas;
  return types_of(schema, root, 0, left);
}

ToolSchemas::ToolSchemas(std::span<const Tool> tools) {
  for (const Tool& tool : tools) {
    Parameters& parameters = tools_[tool.name];
    json::error_code code;
    json::parse_options options;
    options.max_depth = JsonScanner::kMaxDepth;
    const json::value schema = json::parse(tool.parameters_json, code, {}, options);
    if (code || !schema.is_object()) continue;
    const json::value* properties = schema.get_object().if_contains("properties");
    if (properties == nullptr || !properties->is_object()) continue;
    for (const auto& [name, property] : properties->get_object())
      parameters.emplace(std::string(name), types_of_schema(property, schema));
  }
}

ValueTypes ToolSchemas::types(std::string_view tool, std::string_view parameter) const {
  const auto found = tools_.find(tool);
  if (found == tools_.end()) return kAnyType;
  const auto type = found->second.find(parameter);
  return type == found->second.end() ? kAnyType : type->second;
}

std::string typed_json(std::string_view text, ValueTypes types) {
  const std::string_view bare = trimmed_tool_schemas(text);
  if ((types & kBooleanType) != 0 && (bare == "true" || bare == "True")) return "true";
  if ((types & kBooleanType) != 0 && (bare == "false" || bare == "False")) return "false";
  if ((types & kNullType) != 0 && (bare == "null" || bare == "None")) return "null";
  if (!bare.empty() && is_json(bare)) {
    const bool is_integer = bare.find_first_not_of("-0123456789") == std::string_view::npos;
    const bool is_number = (bare.front() >= '0' && bare.front() <= '9') || bare.front() == '-';
    const bool fits = (bare.front() == '{' && (types & kObjectType) != 0) ||
                      (bare.front() == '[' && (types & kArrayType) != 0) ||
                      (is_integer && (types & kIntegerType) != 0) ||
                      (is_number && (types & kNumberType) != 0);
    if (fits) {
      // The scanner's output, where control characters inside strings are escaped.
      JsonScanner scanner;
      std::string out;
      for (const char c : bare) scanner.step(c, out);
      return out;
    }
  }
  std::string quoted;
  append_quoted(quoted, text);
  return quoted;
}

}  // namespace mlxd::dialects
