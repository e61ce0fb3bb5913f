#include "text/dialects/python_calls.h"

#include <array>
#include <charconv>
#include <string>

#include "text/dialects/json_scanner.h"

namespace mlxd::dialects {
namespace {

using Channel = OutputReader::Channel;

constexpr int kPythonCallsMaxDepth = 64;
constexpr std::size_t kMaxWordBytes = 256;

bool is_word_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         c == '-' || c == '+';
}

Task word(OutputReader& reader, std::string& into) {
  into.clear();
  char c = 0;
  for (;;) {
    const bool more = co_await reader.peek(c);
    if (!more || !is_word_byte(c)) break;
    if (into.size() >= kMaxWordBytes) co_return false;
    into += c;
    reader.source().take(1);
  }
  co_return !into.empty();
}

void append_utf8(std::string& out, unsigned long code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0U | (code >> 6U));
    out += static_cast<char>(0x80U | (code & 0x3FU));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0U | (code >> 12U));
    out += static_cast<char>(0x80U | ((code >> 6U) & 0x3FU));
    out += static_cast<char>(0x80U | (code & 0x3FU));
  } else {
    out += static_cast<char>(0xF0U | (code >> 18U));
    out += static_cast<char>(0x80U | ((code >> 12U) & 0x3FU));
    out += static_cast<char>(0x80U | ((code >> 6U) & 0x3FU));
    out += static_cast<char>(0x80U | (code & 0x3FU));
  }
}

/// What follows a backslash (Python language reference, "Escape sequences").
Task python_escape(OutputReader& reader, char quote) {
  bool ok = false;
  char c = 0;
  ok = co_await reader.peek(c);
  if (!ok) co_return false;
  reader.source().take(1);
  std::size_t digits = 0;
  std::string plain;
  switch (c) {
    case 'n':
      plain = "\n";
      break;
    case 't':
      plain = "\t";
      break;
    case 'r':
      plain = "\r";
      break;
    case 'b':
      plain = "\b";
      break;
    case 'f':
      plain = "\f";
      break;
    case '\n':
      co_return true;
    case '\\':
      plain = "\\";
      break;
    case 'x':
      digits = 2;
      break;
    case 'u':
      digits = 4;
      break;
    case 'U':
      digits = 8;
      break;
    default:
      if (c != '"' && c != '\'' && c != quote) plain = "\\";
      plain += c;
      break;
  }
  if (digits > 0) {
    ok = co_await reader.source().more(digits);
    if (!ok) co_return false;
    const std::string hex(reader.source().rest().substr(0, digits));
    unsigned long code = 0;
    const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(), code, 16);
    if (error != std::errc() || end != hex.data() + hex.size() || code > 0x10FFFF) co_return false;
    reader.source().take(digits);
    if (code >= 0xD800 && code < 0xE000) {
      // Half of a pair, which only JSON's own escapes can say.
      reader.arguments("\\u" + hex);
      co_return true;
    }
    append_utf8(plain, code);
  }
  reader.say(Channel::kJsonString, plain);
  co_return true;
}

constexpr std::string_view kQuotes[] = {"\"\"\"", "'''", "\"", "'"};

/// The string whose opening quote has been taken.
Task python_string(OutputReader& reader, std::string_view quote) {
  bool ok = false;
  const std::array<std::string_view, 2> ends{quote, "\\"};
  int which = -1;
  reader.arguments("\"");
  do {
    ok = co_await reader.text_until(ends, which, Channel::kJsonString);
    if (!ok) co_return false;
    if (which == 1) {
      ok = co_await python_escape(reader, quote.front());
      if (!ok) co_return false;
    }
  } while (which == 1);
  reader.arguments("\"");
  co_return true;
}

Task python_value(OutputReader& reader, int depth);

/// Items up to the closing bracket; the opening one has been taken.
Task python_items(OutputReader& reader, char close, int depth) {
  bool ok = false;
  const bool is_object = close == '}';
  int quote = -1;
  char c = 0;
  reader.arguments(is_object ? "{" : "[");
  for (bool first = true;; first = false) {
    co_await reader.skip_space();
    ok = co_await reader.peek(c);
    if (!ok) co_return false;
    if (!first && c == ',') {
      reader.source().take(1);
      co_await reader.skip_space();
      ok = co_await reader.peek(c);
      if (!ok) co_return false;
    } else if (!first && c != close) {
      co_return false;
    }
    if (c == close) break;
    if (!first) reader.arguments(", ");
    if (is_object) {
      co_await reader.one_of(kQuotes, quote);
      if (quote < 0) co_return false;
      ok = co_await python_string(reader, kQuotes[quote]);
      if (!ok) co_return false;
      co_await reader.skip_space();
      ok = co_await reader.literal(":");
      if (!ok) co_return false;
      reader.arguments(": ");
    }
    ok = co_await python_value(reader, depth + 1);
    if (!ok) co_return false;
  }
  reader.source().take(1);
  reader.arguments(is_object ? "}" : "]");
  co_return true;
}

Task python_value(OutputReader& reader, int depth) {
  bool ok = false;
  if (depth > kPythonCallsMaxDepth) co_return false;
  int quote = -1;
  char c = 0;
  co_await reader.skip_space();
  ok = co_await reader.peek(c);
  if (!ok) co_return false;
  if (c == '"' || c == '\'') {
    co_await reader.one_of(kQuotes, quote);
    if (quote < 0) co_return false;
    co_return co_await python_string(reader, kQuotes[quote]);
  }
  if (c == '[' || c == '(' || c == '{') {
    const char close = c == '[' ? ']' : c == '(' ? ')' : '}';
    reader.source().take(1);
    co_return co_await python_items(reader, close, depth);
  }
  std::string text;
  ok = co_await word(reader, text);
  if (!ok) co_return false;
  if (text == "True") text = "true";
  if (text == "False") text = "false";
  if (text == "None") text = "null";
  if (!is_json(text)) co_return false;
  reader.arguments(text);
  co_return true;
}

}  // namespace

Task python_call(OutputReader& reader, bool known_only) {
  bool ok = false;
  std::string name;
  std::string key;
  std::string member;
  char c = 0;
  ok = co_await word(reader, name);
  if (!ok) co_return false;
  if (known_only && !reader.schemas().has(name)) co_return false;
  ok = co_await reader.literal("(");
  if (!ok) co_return false;
  reader.begin_call(name);
  reader.arguments("{");
  for (bool first = true;; first = false) {
    co_await reader.skip_space();
    ok = co_await reader.peek(c);
    if (!ok) co_return false;
    if (!first && c == ',') {
      reader.source().take(1);
      co_await reader.skip_space();
      ok = co_await reader.peek(c);
      if (!ok) co_return false;
    } else if (!first && c != ')') {
      co_return false;
    }
    if (c == ')') break;
    ok = co_await word(reader, key);
    if (!ok) co_return false;
    co_await reader.skip_space();
    ok = co_await reader.literal("=");
    if (!ok) co_return false;
    member = first ? "" : ", ";
    append_quoted(member, key);
    member += ": ";
    reader.arguments(member);
    ok = co_await python_value(reader, 0);
    if (!ok) co_return false;
  }
  reader.source().take(1);
  reader.arguments("}");
  reader.end_call();
  co_return true;
}

Task python_calls(OutputReader& reader, std::string_view closer, bool known_only) {
  bool ok = false;
  const std::array<std::string_view, 1> closers{closer};
  char c = 0;
  int which = -1;
  co_await reader.skip_space();
  ok = co_await reader.peek(c);
  if (!ok) co_return false;
  const bool is_list = c == '[';
  if (is_list) reader.source().take(1);
  for (bool first = true;; first = false) {
    co_await reader.skip_space();
    ok = co_await reader.peek(c);
    if (!ok) co_return !first;
    if (is_list && c == ']') {
      reader.source().take(1);
      if (first) co_return false;
      break;
    }
    if (!first && is_list) {
      if (c != ',') co_return false;
      reader.source().take(1);
      co_await reader.skip_space();
    }
    if (!first && !is_list && !is_word_byte(c)) break;
    ok = co_await python_call(reader, known_only);
    if (!ok) co_return false;
  }
  if (closer.empty()) co_return true;
  co_await reader.skip_space();
  co_await reader.one_of(closers, which);
  co_return true;
}

}  // namespace mlxd::dialects
