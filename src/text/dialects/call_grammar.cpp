#include "text/dialects/call_grammar.h"

#include "text/dialects/json_scanner.h"
#include "text/schema_space.h"

namespace mlxd::dialects {
namespace {

constexpr std::string_view kNoArguments = R"({"type": "object", "additionalProperties": false})";

/// The special token that begins `text`, if one does: such tokens can be named, but not spelled.
TokenId special_token_at(std::string_view text, const Tokenizer& tokenizer, std::size_t& size) {
  const char close = text.front() == '<' ? '>' : text.front() == '[' ? ']' : '\0';
  if (close == '\0') return kNoToken;
  const std::size_t end = text.find(close);
  if (end == std::string_view::npos) return kNoToken;
  size = end + 1;
  const TokenId token = tokenizer.token_id(text.substr(0, size));
  return token != kNoToken && tokenizer.is_special(token) ? token : kNoToken;
}

void append_string(std::string& grammar, std::string& plain) {
  if (plain.empty()) return;
  append_quoted(grammar, plain);
  grammar += ' ';
  plain.clear();
}

/// Text as a sequence of strings and special tokens.
void append_text(std::string& grammar, std::string_view text, const Tokenizer& tokenizer) {
  std::string plain;
  while (!text.empty()) {
    std::size_t size = 1;
    const TokenId token = special_token_at(text, tokenizer, size);
    if (token == kNoToken) {
      plain += text.front();
      text.remove_prefix(1);
      continue;
    }
    append_string(grammar, plain);
    grammar += "<[" + std::to_string(token) + "]> ";
    text.remove_prefix(size);
  }
  append_string(grammar, plain);
}

}  // namespace

Result<std::string> call_grammar(const ToolDialect& dialect, std::span<const Tool> tools, bool several,
                                 const Tokenizer& tokenizer) {
  const CallFrame& frame = dialect.frame;
  if (frame.call_open.empty())
    return unsupported("calls in this model's dialect (" + std::string(dialect.name) +
                       ") cannot be forced yet");
  std::string grammar = "start: ";
  append_text(grammar, frame.section_open, tokenizer);
  grammar += "call ";
  if (several) {
    grammar += "( ";
    append_text(grammar, frame.separator, tokenizer);
    grammar += "call )* ";
  }
  append_text(grammar, frame.section_close, tokenizer);
  grammar += "\ncall: ";
  append_text(grammar, frame.call_open, tokenizer);
  grammar += "( ";
  for (std::size_t i = 0; i < tools.size(); ++i)
    grammar += (i > 0 ? "| tool_" : "tool_") + std::to_string(i) + " ";
  grammar += ") ";
  append_text(grammar, frame.call_close, tokenizer);
  for (std::size_t i = 0; i < tools.size(); ++i) {
    grammar += "\ntool_" + std::to_string(i) + ": ";
    append_text(grammar, tools[i].name + std::string(frame.arguments_open), tokenizer);
    grammar += "%json ";
    grammar += with_bounded_space(
        tools[i].parameters_json.empty() ? kNoArguments : std::string_view(tools[i].parameters_json));
  }
  return grammar + "\n";
}

}  // namespace mlxd::dialects
