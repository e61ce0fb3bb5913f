#include "model/json.h"

#include <boost/json/basic_parser_impl.hpp>
#include <exception>
#include <unordered_set>
#include <vector>

#include "base/mapped_file.h"

namespace mlxd {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxDepth = 64;

// Sees the keys of a text without building values.
class DuplicateKeyHandler {
 public:
  static constexpr std::size_t max_object_size = std::size_t(-1);
  static constexpr std::size_t max_array_size = std::size_t(-1);
  static constexpr std::size_t max_key_size = std::size_t(-1);
  static constexpr std::size_t max_string_size = std::size_t(-1);

  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }
  bool on_object_begin(json::error_code&) {
    keys_.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t, json::error_code&) {
    keys_.pop_back();
    return true;
  }
  bool on_array_begin(json::error_code&) { return true; }
  bool on_array_end(std::size_t, json::error_code&) { return true; }
  bool on_key_part(json::string_view part, std::size_t, json::error_code&) {
    key_.append(part.data(), part.size());
    return true;
  }
  bool on_key(json::string_view part, std::size_t, json::error_code& error) {
    key_.append(part.data(), part.size());
    if (!keys_.back().insert(key_).second) {
      duplicate_ = key_;
      error = json::make_error_code(json::error::syntax);
      return false;
    }
    key_.clear();
    return true;
  }
  bool on_string_part(json::string_view, std::size_t, json::error_code&) { return true; }
  bool on_string(json::string_view, std::size_t, json::error_code&) { return true; }
  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_int64(std::int64_t, json::string_view, json::error_code&) { return true; }
  bool on_uint64(std::uint64_t, json::string_view, json::error_code&) { return true; }
  bool on_double(double, json::string_view, json::error_code&) { return true; }
  bool on_bool(bool, json::error_code&) { return true; }
  bool on_null(json::error_code&) { return true; }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }

  std::optional<std::string> duplicate_;

 private:
  std::vector<std::unordered_set<std::string>> keys_;
  std::string key_;
};

void append_pretty(std::string& out, const json::value& value, std::size_t indent) {
  const std::string pad(indent + 2, ' ');
  const std::string closing_pad(indent, ' ');
  if (const auto* object = value.if_object(); object != nullptr && !object->empty()) {
    out += "{\n";
    std::size_t i = 0;
    for (const auto& [key, member] : *object) {
      out += pad + json::serialize(json::string(key)) + ": ";
      append_pretty(out, member, indent + 2);
      out += ++i < object->size() ? ",\n" : "\n";
    }
    out += closing_pad + "}";
    return;
  }
  const auto* array = value.if_array();
  bool nested = false;
  if (array != nullptr) {
    for (const json::value& element : *array) nested = nested || element.is_object() || element.is_array();
  }
  if (!nested) {
    out += json::serialize(value);
    return;
  }
  out += "[\n";
  for (std::size_t i = 0; i < array->size(); ++i) {
    out += pad;
    append_pretty(out, (*array)[i], indent + 2);
    out += i + 1 < array->size() ? ",\n" : "\n";
  }
  out += closing_pad + "]";
}

}  // namespace

Result<json::value> parse_json(std::string_view text, std::string_view what) {
  try {
    json::parse_options options;
    options.max_depth = kMaxDepth;
    json::error_code error;
    json::value value = json::parse(json::string_view(text.data(), text.size()), error, {}, options);
    if (error) return corrupt_data(std::string(what) + ": not valid JSON: " + error.message());
    return value;
  } catch (const std::exception& exception) {
    return corrupt_data(std::string(what) + ": not readable as JSON: " + exception.what());
  }
}

Result<json::object> read_json_object(const std::filesystem::path& file, std::size_t max_bytes) {
  const MappedFile mapped = TRY(MappedFile::open(file));
  const auto bytes = mapped.bytes();
  if (bytes.size() > max_bytes) {
    return corrupt_data(file.string() + ": " + std::to_string(bytes.size()) + " bytes, must be at most " +
                        std::to_string(max_bytes));
  }
  json::value value =
      TRY(parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, file.string()));
  if (!value.is_object()) return corrupt_data(file.string() + ": must hold a JSON object");
  return std::move(value.get_object());
}

std::optional<std::string> find_duplicate_key(std::string_view text) {
  try {
    json::parse_options options;
    options.max_depth = kMaxDepth;
    json::basic_parser<DuplicateKeyHandler> parser(options);
    json::error_code error;
    parser.write_some(false, text.data(), text.size(), error);
    return parser.handler().duplicate_;
  } catch (const std::exception&) {
    return std::nullopt;  // out of memory: the parse that follows reports it
  }
}

std::string to_pretty_json(const json::value& value) {
  std::string out;
  append_pretty(out, value, 0);
  out += "\n";
  return out;
}

}  // namespace mlxd
