#include "api/openai/text_argument.h"

#include <utility>

namespace mlxd::api::openai {
namespace {

constexpr std::size_t kUnicodeEscape = 6;  // \u0041

void append_utf8(std::string& out, std::uint32_t code) {
  const auto add = [&out](std::uint32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code < 0x80) {
    add(code);
  } else if (code < 0x800) {
    add(0xC0U | (code >> 6U));
    add(0x80U | (code & 0x3FU));
  } else if (code < 0x10000) {
    add(0xE0U | (code >> 12U));
    add(0x80U | ((code >> 6U) & 0x3FU));
    add(0x80U | (code & 0x3FU));
  } else {
    add(0xF0U | (code >> 18U));
    add(0x80U | ((code >> 12U) & 0x3FU));
    add(0x80U | ((code >> 6U) & 0x3FU));
    add(0x80U | (code & 0x3FU));
  }
}

constexpr std::uint32_t kReplacement = 0xFFFD;

std::uint32_t hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<std::uint32_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint32_t>(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') return static_cast<std::uint32_t>(c - 'A') + 10;
  return 0;
}

char simple_escape(char c) {
  switch (c) {
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case 'r':
      return '\r';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    default:
      return c;  // a quote, a slash, a backslash
  }
}

// Whether `text` is {"input":" with any spaces between.
bool opens_text(std::string_view text) {
  const auto skip = [&text](std::string_view wanted) {
    while (!text.empty() && std::string_view(" \n\r\t").find(text.front()) != std::string_view::npos)
      text.remove_prefix(1);
    if (!text.starts_with(wanted)) return false;
    text.remove_prefix(wanted.size());
    return true;
  };
  return skip("{") && skip("\"") && text.starts_with(kTextArgument) &&
         (text.remove_prefix(kTextArgument.size()), skip("\"")) && skip(":") && skip("\"") && text.empty();
}

}  // namespace

std::string TextArgument::push(std::string_view json) {
  std::string out;
  for (const char c : json) take(c, out);
  text_ += out;
  return out;
}

void TextArgument::take(char c, std::string& out) {
  if (place_ == Place::kAfter) return;
  if (place_ == Place::kBefore) {
    before_ += c;
    if (c == '"' && opens_text(before_)) place_ = Place::kInside;
    return;
  }
  if (escape_.empty() && c == '\\') {
    escape_ = "\\";
    return;
  }
  if (escape_.empty()) {
    if (std::exchange(high_unit_, 0) != 0) append_utf8(out, kReplacement);
    if (c == '"')
      place_ = Place::kAfter;
    else
      out += c;
    return;
  }
  escape_ += c;
  if (escape_[1] == 'u') {
    if (escape_.size() == kUnicodeEscape) append_unit(out);
    return;
  }
  if (std::exchange(high_unit_, 0) != 0) append_utf8(out, kReplacement);
  out += simple_escape(c);
  escape_.clear();
}

// A UTF-16 unit: a character, or half of one (RFC 8259, section 7).
void TextArgument::append_unit(std::string& out) {
  std::uint32_t unit = 0;
  for (const char c : std::string_view(escape_).substr(2)) unit = unit * 16 + hex_digit(c);
  escape_.clear();
  const std::uint32_t high = std::exchange(high_unit_, 0);
  const bool is_low = unit >= 0xDC00 && unit < 0xE000;
  if (high != 0 && is_low) {
    append_utf8(out, 0x10000 + ((high - 0xD800) << 10U) + (unit - 0xDC00));
    return;
  }
  if (high != 0) append_utf8(out, kReplacement);
  if (unit >= 0xD800 && unit < 0xDC00)
    high_unit_ = unit;
  else
    append_utf8(out, is_low ? kReplacement : unit);
}

std::string TextArgument::finish() {
  std::string rest;
  if (place_ == Place::kBefore) rest = before_;
  if (place_ == Place::kInside && std::exchange(high_unit_, 0) != 0) append_utf8(rest, kReplacement);
  place_ = Place::kAfter;
  text_ += rest;
  return rest;
}

}  // namespace mlxd::api::openai
