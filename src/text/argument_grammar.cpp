#include "text/argument_grammar.h"

#include <algorithm>
#include <boost/json.hpp>
#include <utility>
#include <vector>

#include "text/dialects/json_scanner.h"
#include "text/dialects/tool_schemas.h"
#include "text/lark_text.h"
#include "text/schema_space.h"

namespace mlxd {
namespace {

namespace json = boost::json;
using dialects::ArgumentSyntax;
using dialects::CallFrame;
using dialects::ValueTypes;

constexpr std::string_view kNoArguments = R"({"type": "object", "additionalProperties": false})";
constexpr int kMaxDepth = 16;
constexpr std::size_t kMaxParameters = 256;
constexpr int kMaxValues = 4096;

std::string literal(std::string_view text) {
  std::string out;
  dialects::append_quoted(out, text);
  return out;
}

/// Writes the rules of one tool.
class Writer {
 public:
  Writer(const CallFrame& frame, const Tool& tool, const std::string& rule, bool exact,
         const Tokenizer& tokenizer)
      : frame_(frame), tool_(tool), rule_(rule), exact_(exact), tokenizer_(tokenizer) {}

  Result<std::string> write() {
    if (frame_.arguments == ArgumentSyntax::kJson) return rule_ + ": " + json_rule() + "\n";
    TRY(read_schema());
    const json::object* const top = object_of(schema_);
    if (top == nullptr) return unfit("its parameters", "are no object");
    rules_ += rule_ + ": " + TRY(members(*top, true, 0)) + "\n";
    return std::move(rules_);
  }

 private:
  struct Member {
    std::string text;
    bool required = false;
  };

  Error unfit(const std::string& what, const std::string& why) const {
    return Error(ErrorKind::kUnsupported,
                 "the call of '" + tool_.name +
                     "' cannot be guaranteed in this model's way of writing calls: " + what + " " + why);
  }

  std::string json_rule() const {
    std::string_view schema = tool_.parameters_json;
    if (schema.empty()) schema = kNoArguments;
    return "%json " + (exact_ ? with_bounded_space(schema) : with_bounded_space(R"({"type": "object"})"));
  }

  Result<void> read_schema() {
    json::error_code code;
    json::parse_options options;
    options.max_depth = dialects::JsonScanner::kMaxDepth;
    schema_ =
        json::parse(tool_.parameters_json.empty() ? kNoArguments : std::string_view(tool_.parameters_json),
                    code, {}, options);
    if (code) return invalid_argument("the parameters of '" + tool_.name + "' are no JSON");
    return {};
  }

  /// The schema that `schema` refers to, if it does, else itself; null: no object.
  const json::object* object_of(const json::value& schema) const {
    const json::value* at = &schema;
    for (int depth = 0; depth < kMaxDepth; ++depth) {
      const json::object* object = at->if_object();
      if (object == nullptr) return nullptr;
      const json::value* reference = object->if_contains("$ref");
      if (reference == nullptr || !reference->is_string()) return object;
      const std::string_view path = reference->get_string();
      if (!path.starts_with('#')) return nullptr;
      json::error_code code;
      at = schema_.find_pointer(path.substr(1), code);
      if (at == nullptr) return nullptr;
    }
    return nullptr;
  }

  /// `schema` alone, with the definitions that it may refer to.
  std::string json_value_rule(const json::value& schema) const {
    if (!schema.is_object()) return "%json " + with_bounded_space("{}");
    json::object alone = schema.get_object();
    if (const json::object* root = schema_.if_object()) {
      for (const char* key : {"$defs", "definitions"}) {
        if (const json::value* definitions = root->if_contains(key); definitions != nullptr)
          alone.emplace(key, *definitions);
      }
    }
    return "%json " + with_bounded_space(json::serialize(alone));
  }

  /// A new rule, so that it can be repeated.
  std::string named(const std::string& body) {
    std::string name = fresh();
    rules_ += name + ": " + body + "\n";
    return name + " ";
  }
  std::string fresh() { return rule_ + "_" + std::to_string(num_rules_++); }

  Result<std::string> members(const json::object& object, bool top, int depth) {
    std::vector<std::string> required;
    if (const json::value* list = object.if_contains("required"); list != nullptr && list->is_array()) {
      for (const json::value& name : list->get_array()) {
        if (name.is_string()) required.emplace_back(name.get_string());
      }
    }
    std::vector<Member> all;
    const json::value* properties = object.if_contains("properties");
    if (properties != nullptr && properties->is_object()) {
      for (const auto& [key, schema] : properties->get_object()) {
        const auto found = std::find(required.begin(), required.end(), std::string(key));
        all.push_back({TRY(member(std::string(key), schema, depth)), found != required.end()});
        if (found != required.end()) required.erase(found);
      }
    }
    const json::value any = json::object{};
    for (const std::string& name : required) all.push_back({TRY(member(name, any, depth)), true});
    if (all.size() > kMaxParameters) return unfit("it", "has too many parameters");
    if (exact_) {
      for (const char* key : {"anyOf", "oneOf", "allOf", "not", "if", "minProperties", "patternProperties",
                              "dependentRequired", "dependentSchemas"}) {
        if (object.contains(key)) return unfit(std::string("its schema"), "has " + literal(key));
      }
    }
    return frame_.separates_arguments() || !top ? separated(all) : in_a_row(all);
  }

  static std::string in_a_row(const std::vector<Member>& all) {
    std::string body;
    for (const Member& each : all) body += each.required ? each.text : "( " + each.text + ")? ";
    return body.empty() ? "\"\"" : body;
  }

  /// With separators between those that come.
  std::string separated(const std::vector<Member>& all) {
    if (all.empty()) return "\"\"";
    // What may follow once one has come, from each place on.
    std::vector<std::string> rests(all.size() + 1);
    for (std::size_t i = all.size(); i-- > 0;) {
      const std::string next = literal(frame_.argument_separator) + " " + all[i].text;
      rests[i] = named((all[i].required ? next : "( " + next + ")? ") + rests[i + 1]);
    }
    std::string body;
    bool may_be_empty = true;
    for (std::size_t i = 0; i < all.size() && may_be_empty; ++i) {
      body += (i > 0 ? "| " : "") + all[i].text + rests[i + 1];
      may_be_empty = !all[i].required;
    }
    return may_be_empty ? "( " + body + ")?" : body;
  }

  Result<std::string> member(const std::string& key, const json::value& schema, int depth) {
    if (frame_.arguments == ArgumentSyntax::kKeywords) {
      const bool plain = !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
      });
      if (!plain) return unfit("the parameter '" + key + "'", "has a name that is no identifier");
      return named(literal(key + "=") + " " + json_value_rule(schema));
    }
    if (frame_.arguments == ArgumentSyntax::kGemma) {
      if (key.empty() || key.find_first_of(":{}[],\"") != std::string::npos)
        return unfit("the parameter '" + key + "'", "has signs in its name");
      return named(literal(key + ":") + " " + TRY(gemma_value(key, schema, depth)));
    }
    return named(TRY(tagged_member(key, schema)));
  }

  Result<std::string> tagged_member(const std::string& key, const json::value& schema) {
    const ValueTypes types = types_of_schema(schema);
    const bool is_text = (types & dialects::kStringType) != 0;
    std::string open(frame_.key_open);
    open += key;
    open += is_text || frame_.bare_key_close.empty() ? frame_.key_close : frame_.bare_key_close;
    std::string body = lark_text(open, tokenizer_);
    if (!is_text)
      body += json_value_rule(schema) + " " + lark_text(bare_close(frame_.value_close), tokenizer_);
    else
      body += TRY(text_value(key, schema, types, frame_.value_close));
    return body + lark_text(frame_.after_value, tokenizer_);
  }

  /// The mark after a value that is no free text, where `mark` ends that.
  std::string_view bare_close(std::string_view mark) const {
    return mark == frame_.value_close && !frame_.bare_value_close.empty() ? frame_.bare_value_close : mark;
  }

  ValueTypes types_of_schema(const json::value& schema) const {
    return dialects::types_of_schema(schema, schema_);
  }

  /// A text as it stands, up to and including `mark`.
  Result<std::string> text_value(const std::string& key, const json::value& schema, ValueTypes types,
                                 std::string_view mark) {
    const json::object* const object = object_of(schema);
    const std::string where = "the parameter '" + key + "'";
    if (object == nullptr && exact_) return unfit(where, "refers to what is not in the schema");
    if (object == nullptr) return lark_text_until(mark, tokenizer_, fresh(), rules_);
    if (const json::value* values = object->if_contains("enum"); values != nullptr && values->is_array())
      return one_of(values->get_array(), bare_close(mark));
    if (const json::value* value = object->if_contains("const"))
      return one_of(json::array{*value}, bare_close(mark));
    std::string body = "(?s:.*)";
    const json::value* least = object->if_contains("minLength");
    const json::value* most = object->if_contains("maxLength");
    if (least != nullptr || most != nullptr) {
      const std::int64_t from =
          least != nullptr && least->is_int64() ? std::max<std::int64_t>(least->get_int64(), 0) : 0;
      body = "(?s:.{" + std::to_string(from) + "," +
             (most != nullptr && most->is_int64() ? std::to_string(most->get_int64()) : std::string()) + "})";
    }
    if (const json::value* pattern = object->if_contains("pattern");
        pattern != nullptr && pattern->is_string()) {
      const std::string_view text = pattern->get_string();
      const bool grouped = text.starts_with("^(?:") && text.ends_with(")$");
      const bool whole = text.size() >= 2 && text.front() == '^' && text.back() == '$' &&
                         (grouped || text.find('|') == std::string_view::npos) && !text.ends_with("\\$");
      if (whole && least == nullptr && most == nullptr)
        body = std::string(text.substr(1, text.size() - 2));
      else if (exact_)
        return unfit(where, "has a pattern that is not of the whole text");
    }
    if (exact_ && object->contains("format")) return unfit(where, "has \"format\"");
    if (exact_ && types != dialects::kStringType && !is_plain_choice(*object))
      return unfit(where, "may be text or something else with conditions");
    return lark_text_until(mark, tokenizer_, fresh(), rules_, body);
  }

  /// Whether the schema says no more than which types there are.
  static bool is_plain_choice(const json::object& object) {
    constexpr std::string_view kPlain[] = {"type",    "anyOf",       "oneOf",    "title",
                                           "default", "description", "examples", "$defs"};
    return std::all_of(object.begin(), object.end(), [&](const auto& entry) {
      const std::string_view key = entry.key();
      if (std::find(std::begin(kPlain), std::end(kPlain), key) == std::end(kPlain)) return false;
      if (key != "anyOf" && key != "oneOf") return true;
      if (!entry.value().is_array()) return false;
      const json::array& choices = entry.value().get_array();
      return std::all_of(choices.begin(), choices.end(), [](const json::value& choice) {
        return choice.is_object() && is_plain_choice(choice.get_object());
      });
    });
  }

  Result<std::string> one_of(const json::array& values, std::string_view mark) {
    if (values.empty()) return unfit("it", "has an empty enum");
    std::string body = "( ";
    for (const json::value& value : values) {
      if (body.size() > 2) body += "| ";
      body +=
          value.is_string() ? literal(std::string_view(value.get_string())) : literal(json::serialize(value));
      body += ' ';
    }
    return body + ") " + lark_text(mark, tokenizer_);
  }

  Result<std::string> gemma_value(const std::string& key, const json::value& schema, int depth) {
    const json::object* const object = object_of(schema);
    if (depth > kMaxDepth) return unfit("the parameter '" + key + "'", "is nested too deeply");
    // References make a small schema a huge tree.
    if (++num_values_ > kMaxValues) return unfit("its schema", "is too large");
    const std::string quote = lark_text(frame_.quote, tokenizer_);
    if (object == nullptr && exact_)
      return unfit("the parameter '" + key + "'", "refers to what is not in the schema");
    if (object == nullptr) return quote + lark_text_until(frame_.quote, tokenizer_, fresh(), rules_);
    for (const char* name : {"anyOf", "oneOf"}) {
      const json::value* choices = object->if_contains(name);
      if (choices == nullptr || !choices->is_array() || choices->get_array().empty()) continue;
      std::string body;
      for (const json::value& choice : choices->get_array())
        body += (body.empty() ? "( " : "| ") + TRY(gemma_value(key, choice, depth + 1));
      return body + ") ";
    }
    for (const char* name : {"enum", "const"}) {
      const json::value* values = object->if_contains(name);
      if (values == nullptr) continue;
      const json::array list =
          values->is_array() && std::string_view(name) == "enum" ? values->get_array() : json::array{*values};
      std::string body;
      for (const json::value& value : list) {
        body += body.empty() ? "( " : "| ";
        body += value.is_string() ? quote + literal(std::string_view(value.get_string())) + " " + quote
                                  : literal(json::serialize(value)) + " ";
      }
      if (body.empty()) return unfit("the parameter '" + key + "'", "has an empty enum");
      return body + ") ";
    }
    const ValueTypes types = types_of_schema(schema);
    std::vector<std::string> choices;
    if ((types & dialects::kStringType) != 0)
      choices.push_back(quote + TRY(text_value(key, schema, dialects::kStringType, frame_.quote)));
    if (types != dialects::kAnyType) {
      if ((types & dialects::kArrayType) != 0) choices.push_back(TRY(gemma_array(key, *object, depth)));
      if ((types & dialects::kObjectType) != 0)
        choices.push_back("\"{\" " + named(TRY(members(*object, false, depth + 1))) + "\"}\" ");
      if ((types & (dialects::kNumberType | dialects::kIntegerType | dialects::kBooleanType |
                    dialects::kNullType)) != 0) {
        json::object bare = *object;
        json::array names;
        if ((types & dialects::kNumberType) != 0)
          names.emplace_back("number");
        else if ((types & dialects::kIntegerType) != 0)
          names.emplace_back("integer");
        if ((types & dialects::kBooleanType) != 0) names.emplace_back("boolean");
        if ((types & dialects::kNullType) != 0) names.emplace_back("null");
        bare["type"] = std::move(names);
        choices.push_back(json_value_rule(bare) + " ");
      }
    }
    std::string body;
    for (const std::string& choice : choices) body += (body.empty() ? "( " : "| ") + choice;
    return body + ") ";
  }

  Result<std::string> gemma_array(const std::string& key, const json::object& object, int depth) {
    const auto count = [&object](const char* name, std::int64_t otherwise) {
      const json::value* value = object.if_contains(name);
      return value != nullptr && value->is_int64() ? std::clamp<std::int64_t>(value->get_int64(), 0, 4096)
                                                   : otherwise;
    };
    if (exact_ &&
        (object.contains("prefixItems") || object.contains("contains") || object.contains("uniqueItems")))
      return unfit("the parameter '" + key + "'", "is a list with conditions");
    const json::value* items = object.if_contains("items");
    const json::value any = json::object{};
    const std::string item = named(TRY(gemma_value(key, items == nullptr ? any : *items, depth + 1)));
    const std::int64_t least = count("minItems", 0);
    const std::int64_t most = count("maxItems", -1);
    if (most == 0) return std::string("\"[\" \"]\" ");
    const std::string more = named("\",\" " + item);
    const std::string times = "{" + std::to_string(std::max<std::int64_t>(least - 1, 0)) + "," +
                              (most < 0 ? std::string() : std::to_string(most - 1)) + "}";
    std::string list = item + more;
    list.pop_back();
    list += times + " ";
    return "\"[\" " + (least == 0 ? "( " + list + ")? " : list) + "\"]\" ";
  }

  const CallFrame& frame_;
  const Tool& tool_;
  const std::string rule_;
  const bool exact_;
  const Tokenizer& tokenizer_;
  json::value schema_;
  std::string rules_;
  int num_rules_ = 0;
  int num_values_ = 0;
};

}  // namespace

Result<std::string> argument_rules(const CallFrame& frame, const Tool& tool, const std::string& rule,
                                   bool exact, const Tokenizer& tokenizer) {
  return Writer(frame, tool, rule, exact, tokenizer).write();
}

}  // namespace mlxd
