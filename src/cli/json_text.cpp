#include "cli/json_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace mlxd::cli {
namespace {

namespace json = boost::json;

std::string number_text(double value) {
  if (!std::isfinite(value)) return "null";
  const double size = std::abs(value);
  if (size != 0.0 && (size < 1e-6 || size >= 1e15)) return json::serialize(json::value(value));
  std::array<char, 64> buffer{};
  const auto end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed).ptr;
  std::string text(buffer.data(), end);
  if (text.find('.') == std::string::npos) text += ".0";  // a float stays one, whatever its value
  return text;
}

void append(std::string& out, const json::value& value, std::size_t indent);

template <typename Range, typename AppendEntry>
void append_lines(std::string& out, const Range& range, char open, char close, std::size_t indent,
                  AppendEntry append_entry) {
  out += open;
  bool first = true;
  for (const auto& entry : range) {
    out += first ? "\n" : ",\n";
    first = false;
    out.append(indent + 2, ' ');
    append_entry(entry);
  }
  out += '\n';
  out.append(indent, ' ');
  out += close;
}

void append_array(std::string& out, const json::array& array, std::size_t indent) {
  const bool plain = std::none_of(array.begin(), array.end(), [](const json::value& entry) {
    return entry.is_object() || entry.is_array();
  });
  if (!plain) {
    append_lines(out, array, '[', ']', indent,
                 [&](const json::value& entry) { append(out, entry, indent + 2); });
    return;
  }
  out += '[';
  for (std::size_t i = 0; i < array.size(); ++i) {
    if (i > 0) out += ", ";
    append(out, array[i], indent);
  }
  out += ']';
}

void append(std::string& out, const json::value& value, std::size_t indent) {
  if (const json::object* object = value.if_object(); object != nullptr && !object->empty()) {
    append_lines(out, *object, '{', '}', indent, [&](const json::key_value_pair& entry) {
      out += json::serialize(json::string(entry.key())) + ": ";
      append(out, entry.value(), indent + 2);
    });
  } else if (const json::array* array = value.if_array(); array != nullptr) {
    append_array(out, *array, indent);
  } else if (const double* number = value.if_double(); number != nullptr) {
    out += number_text(*number);
  } else {
    out += json::serialize(value);
  }
}

}  // namespace

std::string pretty_json(const json::value& value) {
  std::string text;
  append(text, value, 0);
  return text + "\n";
}

}  // namespace mlxd::cli
