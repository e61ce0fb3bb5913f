#include "api/document/type_notation.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <utility>

namespace mlxd::api {

namespace json = boost::json;

namespace {

constexpr std::string_view kReference = "#/components/schemas/";

json::string text_of(std::string_view value) { return json::string(value.data(), value.size()); }

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/// Reads one type from the beginning of `rest`.
class TypeReader {
 public:
  explicit TypeReader(std::string_view type) : whole_(type), rest_(type) {}

  Result<json::value> read_all() {
    json::value schema = TRY(read_union());
    if (!rest_.empty()) return malformed();
    return schema;
  }

 private:
  Error malformed() const {
    return invalid_argument("the type '" + std::string(whole_) + "' is malformed at '" + std::string(rest_) +
                            "'");
  }

  bool take(std::string_view token) {
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }

  std::string_view take_until(char end) {
    const std::size_t size = std::min(rest_.find(end), rest_.size());
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(std::min(size + 1, rest_.size()));
    return taken;
  }

  Result<json::value> read_union() {
    json::array forms;
    do {
      forms.push_back(TRY(read_listed()));
    } while (take("|"));
    return forms.size() == 1 ? std::move(forms.front()) : either(std::move(forms));
  }

  // Texts become one enumeration, plain types one list of names.
  static json::value either(json::array forms) {
    json::array texts, names;
    for (const json::value& form : forms) {
      const json::object& object = form.get_object();
      if (const json::value* only = object.if_contains("const")) texts.push_back(*only);
      if (object.size() == 1 && object.contains("type")) names.push_back(object.at("type"));
    }
    if (texts.size() == forms.size()) return json::object{{"enum", std::move(texts)}};
    if (names.size() == forms.size()) return json::object{{"type", std::move(names)}};
    return json::object{{"anyOf", std::move(forms)}};
  }

  Result<json::value> read_listed() {
    json::value schema = TRY(read_one());
    while (take("[]")) schema = json::object{{"type", "array"}, {"items", std::move(schema)}};
    return schema;
  }

  Result<json::value> read_one() {
    if (take("(")) {
      json::value schema = TRY(read_union());
      if (!take(")")) return malformed();
      return schema;
    }
    if (take("'")) return json::value(json::object{{"const", text_of(take_until('\''))}});
    const std::size_t size =
        static_cast<std::size_t>(std::find_if_not(rest_.begin(), rest_.end(), is_letter) - rest_.begin());
    if (size == 0) return malformed();
    const std::string_view name = rest_.substr(0, size);
    rest_.remove_prefix(size);
    static constexpr std::array<std::string_view, 6> kPlain = {"string",  "integer", "number",
                                                               "boolean", "null",    "object"};
    if (name == "any") return json::value(json::object());
    if (std::find(kPlain.begin(), kPlain.end(), name) == kPlain.end())
      return json::value(json::object{{"$ref", text_of(std::string(kReference) + std::string(name))}});
    json::object schema{{"type", text_of(name)}};
    if (take("(")) {
      for (const char* bound : {"minimum", "maximum"}) {
        const std::string_view digits = rest_.substr(0, rest_.find_first_of(".)"));
        rest_.remove_prefix(digits.size());
        schema[bound] = TRY(read_json(digits));
        if (!take(bound == std::string_view("minimum") ? ".." : ")")) return malformed();
      }
    }
    return json::value(std::move(schema));
  }

  Result<json::value> read_json(std::string_view text) const {
    json::error_code code;
    json::value value = json::parse(json::string_view(text.data(), text.size()), code);
    if (code) return malformed();
    return value;
  }

  std::string_view whole_;
  std::string_view rest_;
};

}  // namespace

Result<json::value> schema_of_type(std::string_view type) { return TypeReader(type).read_all(); }

Result<std::vector<TypedMember>> members_of(std::string_view members) {
  std::vector<TypedMember> all;
  while (!members.empty()) {
    const std::size_t size = std::min(members.find(' '), members.size());
    std::string_view one = members.substr(0, size);
    members.remove_prefix(std::min(size + 1, members.size()));
    const std::size_t colon = one.find(':');
    if (colon == std::string_view::npos || colon == 0)
      return invalid_argument("the member '" + std::string(one) + "' is malformed: write NAME:TYPE");
    TypedMember member;
    std::string_view name = one.substr(0, colon);
    if (name.ends_with('?')) {
      member.required = false;
      name.remove_suffix(1);
    }
    member.name = name;
    std::string_view type = one.substr(colon + 1);
    const std::size_t equals = type.find('=');
    json::value schema = TRY(schema_of_type(type.substr(0, equals)));
    member.schema = std::move(schema.as_object());
    if (equals != std::string_view::npos) {
      const std::string_view text = type.substr(equals + 1);
      json::error_code code;
      member.schema["default"] = json::parse(json::string_view(text.data(), text.size()), code);
      if (code) return invalid_argument("the member '" + std::string(one) + "' has a malformed default");
    }
    all.push_back(std::move(member));
  }
  return all;
}

Result<json::object> schema_of_members(std::string_view members) {
  json::object properties;
  json::array required;
  for (TypedMember& member : TRY(members_of(members))) {
    if (member.required) required.push_back(json::string(member.name));
    properties[member.name] = std::move(member.schema);
  }
  json::object schema{{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) schema["required"] = std::move(required);
  return schema;
}

}  // namespace mlxd::api
