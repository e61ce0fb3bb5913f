#include "text/lark_text.h"

#include "text/dialects/json_scanner.h"

namespace mlxd {

TokenId special_token_at(std::string_view text, const Tokenizer& tokenizer, std::size_t& size) {
  if (text.empty()) return kNoToken;
  const char close = text.front() == '<' ? '>' : text.front() == '[' ? ']' : '\0';
  if (close == '\0') return kNoToken;
  // A mark may have the closing sign in its middle: "<|"|>".
  for (std::size_t end = text.find(close); end != std::string_view::npos; end = text.find(close, end + 1)) {
    size = end + 1;
    const TokenId token = tokenizer.token_id(text.substr(0, size));
    if (token != kNoToken && tokenizer.is_special(token)) return token;
  }
  return kNoToken;
}

std::string lark_text(std::string_view text, const Tokenizer& tokenizer) {
  std::string grammar;
  std::string plain;
  const auto say_plain = [&grammar, &plain] {
    if (plain.empty()) return;
    dialects::append_quoted(grammar, plain);
    grammar += ' ';
    plain.clear();
  };
  while (!text.empty()) {
    std::size_t size = 1;
    const TokenId token = special_token_at(text, tokenizer, size);
    if (token == kNoToken) {
      plain += text.front();
      text.remove_prefix(1);
      continue;
    }
    say_plain();
    grammar += "<[" + std::to_string(token) + "]> ";
    text.remove_prefix(size);
  }
  say_plain();
  return grammar;
}

std::string lark_regex(std::string_view expression) {
  std::string text = "/";
  bool escaped = false;
  for (const char c : expression) {
    if (c == '/' && !escaped) text += '\\';
    if (c == '\n') {
      text += escaped ? "n" : "\\n";
      escaped = false;
      continue;
    }
    text += c;
    escaped = c == '\\' && !escaped;
  }
  return text + "/";
}

std::string regex_of_text(std::string_view text) {
  std::string expression;
  for (const char c : text) {
    if (std::string_view("\\.+*?()|[]{}^$#&-~/").find(c) != std::string_view::npos) expression += '\\';
    if (c == '\n')
      expression += "\\n";
    else
      expression += c;
  }
  return expression;
}

std::string lark_text_until(std::string_view mark, const Tokenizer& tokenizer, const std::string& name,
                            std::string& rules, std::string_view body) {
  std::size_t size = 0;
  if (special_token_at(mark, tokenizer, size) != kNoToken) {
    // No text has it, so any text may come before it.
    rules += name + "_text: " + lark_regex(body) + "\n";
    return name + "_text " + lark_text(mark, tokenizer);
  }
  std::string quoted;
  dialects::append_quoted(quoted, mark);
  rules += name + "_text[suffix=" + quoted + "]: " + lark_regex(body) + "\n";
  return name + "_text ";
}

}  // namespace mlxd
