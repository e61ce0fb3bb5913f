#include "text/dialects/json_scanner.h"

#include <array>
#include <cstdio>

namespace mlxd::dialects {
namespace {

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_word(char c) {
  return is_digit(c) || c == '-' || c == '+' || c == '.' || c == 'E' || (c >= 'a' && c <= 'z');
}

bool is_number(std::string_view word) {
  std::size_t i = 0;
  const auto digits = [&] {
    const std::size_t begin = i;
    while (i < word.size() && is_digit(word[i])) ++i;
    return i - begin;
  };
  if (i < word.size() && word[i] == '-') ++i;
  const std::size_t whole = i;
  const std::size_t count = digits();
  if (count == 0 || (count > 1 && word[whole] == '0')) return false;
  if (i < word.size() && word[i] == '.') {
    ++i;
    if (digits() == 0) return false;
  }
  if (i < word.size() && (word[i] == 'e' || word[i] == 'E')) {
    ++i;
    if (i < word.size() && (word[i] == '-' || word[i] == '+')) ++i;
    if (digits() == 0) return false;
  }
  return i == word.size();
}

}  // namespace

bool JsonScanner::word_is_value() const {
  return word_ == "true" || word_ == "false" || word_ == "null" || is_number(word_);
}

bool JsonScanner::complete_at_end() const {
  return complete() || (state_ == State::kWord && open_.empty() && word_is_value());
}

void JsonScanner::end_value() { state_ = open_.empty() ? State::kDone : State::kNext; }

JsonScanner::Step JsonScanner::begin_value(char c, std::string& out) {
  if (c == '{' || c == '[') {
    if (open_.size() >= kMaxDepth) return Step::kWrong;
    open_.push_back(c);
    state_ = c == '{' ? State::kFirstKey : State::kFirstItem;
  } else if (c == '"') {
    string_is_key_ = false;
    state_ = State::kString;
  } else if (is_word(c)) {
    word_.assign(1, c);
    state_ = State::kWord;
  } else {
    return Step::kWrong;
  }
  out += c;
  return Step::kTaken;
}

JsonScanner::Step JsonScanner::step(char c, std::string& out) {
  switch (state_) {
    case State::kString:
      if (static_cast<unsigned char>(c) < 0x20) {
        append_escaped(out, {&c, 1});
        return Step::kTaken;
      }
      if (c == '\\') state_ = State::kEscape;
      if (c == '"') {
        if (string_is_key_)
          state_ = State::kColon;
        else
          end_value();
      }
      break;
    case State::kEscape:
      if (std::string_view("\"\\/bfnrtu").find(c) == std::string_view::npos) return Step::kWrong;
      state_ = c == 'u' ? State::kHex : State::kString;
      hex_left_ = 4;
      break;
    case State::kHex:
      if (!is_hex(c)) return Step::kWrong;
      if (--hex_left_ == 0) state_ = State::kString;
      break;
    case State::kWord:
      if (is_word(c)) {
        word_ += c;
        break;
      }
      if (!word_is_value()) return Step::kWrong;
      end_value();
      return step(c, out);
    case State::kDone:
      return Step::kEnded;
    default:
      if (is_space(c)) break;
      if (state_ == State::kValue) return begin_value(c, out);
      if (state_ == State::kFirstItem && c != ']') return begin_value(c, out);
      if ((state_ == State::kFirstKey || state_ == State::kKey) && c == '"') {
        string_is_key_ = true;
        state_ = State::kString;
      } else if (state_ == State::kColon && c == ':') {
        state_ = State::kValue;
      } else if (state_ == State::kNext && c == ',') {
        state_ = open_.back() == '{' ? State::kKey : State::kValue;
      } else if ((state_ == State::kNext || state_ == State::kFirstKey) && c == '}' && open_.back() == '{') {
        open_.pop_back();
        end_value();
      } else if ((state_ == State::kNext || state_ == State::kFirstItem) && c == ']' && open_.back() == '[') {
        open_.pop_back();
        end_value();
      } else {
        return Step::kWrong;
      }
      break;
  }
  out += c;
  return Step::kTaken;
}

bool is_json(std::string_view text) {
  JsonScanner scanner;
  std::string out;
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  for (const char c : text) {
    if (scanner.step(c, out) != JsonScanner::Step::kTaken) return false;
  }
  return scanner.complete_at_end();
}

bool is_json_object(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  return begin != std::string_view::npos && text[begin] == '{' && is_json(text);
}

void append_escaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          std::array<char, 8> escape{};
          std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(c));
          out += escape.data();
        } else {
          out += c;
        }
    }
  }
}

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  append_escaped(out, text);
  out += '"';
}

}  // namespace mlxd::dialects
