#include "api/json_text.h"

#include <algorithm>
#include <array>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <cmath>
#include <cstddef>

namespace mlxd::api {
namespace {

// Length of the well-formed UTF-8 character at `i` (Unicode 15, table 3-7), or 0.
std::size_t character_size(std::string_view text, std::size_t i) {
  const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(text[i + k]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  std::size_t size = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    size = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    size = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    size = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return 0;
  }
  if (i + size > text.size() || byte(1) < low || byte(1) > high) return 0;
  for (std::size_t k = 2; k < size; ++k) {
    if (byte(k) < 0x80 || byte(k) > 0xBF) return 0;
  }
  return size;
}

void append_escape(std::string& out, char c) {
  static constexpr char kDigits[] = "0123456789abcdef";
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    default:
      break;
  }
  const auto code = static_cast<unsigned char>(c);
  out += "\\u00";
  out += kDigits[code >> 4U];
  out += kDigits[code & 15U];
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  std::size_t plain_begin = 0;
  const auto flush = [&](std::size_t end) { out += text.substr(plain_begin, end - plain_begin); };
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    const bool control = static_cast<unsigned char>(c) < 0x20;
    const std::size_t size = character_size(text, i);
    if (!control && c != '"' && c != '\\' && size > 0) {
      i += size;
      continue;
    }
    flush(i);
    if (size == 0)
      out += "\xEF\xBF\xBD";
    else
      append_escape(out, c);
    plain_begin = ++i;
  }
  flush(text.size());
  out += '"';
}

void append_json_number(std::string& out, float value) {
  if (!std::isfinite(value)) value = std::isnan(value) ? 0.0F : std::copysign(9999.0F, value);
  std::array<char, 32> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  out.append(digits.data(), end);
}

void append_json_number(std::string& out, std::int64_t value) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  out.append(digits.data(), end);
}

void append_member(std::string& out, std::string_view key, std::string_view text) {
  out += ",\"";
  out += key;
  out += "\":";
  append_json_string(out, text);
}

void append_member(std::string& out, std::string_view key, std::int64_t number) {
  out += ",\"";
  out += key;
  out += "\":";
  append_json_number(out, number);
}

void append_json_value(std::string& out, const boost::json::value& value) {
  bool first = true;
  if (const auto* object = value.if_object()) {
    out += '{';
    for (const auto& [key, member] : *object) {
      if (!first) out += ", ";
      first = false;
      append_json_string(out, std::string_view(key.data(), key.size()));
      out += ": ";
      append_json_value(out, member);
    }
    out += '}';
  } else if (const auto* array = value.if_array()) {
    out += '[';
    for (const auto& item : *array) {
      if (!first) out += ", ";
      first = false;
      append_json_value(out, item);
    }
    out += ']';
  } else if (const auto* string = value.if_string()) {
    append_json_string(out, std::string_view(string->data(), string->size()));
  } else if (value.is_double() && !std::isfinite(value.get_double())) {
    out += "null";  // 1e999, which JSON can write but not have
  } else if (value.is_double()) {
    std::array<char, 32> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value.get_double()).ptr;
    const std::string_view text(digits.data(), static_cast<std::size_t>(end - digits.data()));
    out += text;
    // A whole number stays a float for who reads it again.
    if (text.find_first_not_of("-0123456789") == std::string_view::npos) out += ".0";
  } else {
    out += boost::json::serialize(value);
  }
}

bool is_valid_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t size = character_size(text, i);
    if (size == 0) return false;
    i += size;
  }
  return true;
}

std::int64_t count_characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
}

}  // namespace mlxd::api
