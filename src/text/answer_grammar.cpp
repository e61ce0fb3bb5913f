#include "text/answer_grammar.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "text/argument_grammar.h"
#include "text/dialects/json_scanner.h"
#include "text/lark_text.h"
#include "text/schema_space.h"

namespace mlxd {
namespace {

using dialects::CallFrame;
using dialects::ToolDialect;

/// Rules "tool_0", …: a name, what follows it, and arguments.
Result<std::string> tool_rules(const AnswerWish& wish, const CallFrame& frame, const Tokenizer& tokenizer) {
  std::string rules;
  for (std::size_t i = 0; i < wish.tools.size(); ++i) {
    const Tool& tool = wish.tools[i];
    const std::string name = "tool_" + std::to_string(i);
    const std::string arguments =
        TRY(argument_rules(frame, tool, name + "_arguments", wish.must_call || tool.strict, tokenizer));
    rules += name + ": " + lark_text(tool.name, tokenizer);
    if (frame.numbers_calls) rules += "\":\" /[0-9]{1,3}/ ";
    rules += lark_text(frame.arguments_open, tokenizer) + name + "_arguments\n" + arguments;
  }
  return rules;
}

std::string any_tool(const AnswerWish& wish) {
  std::string names;
  for (std::size_t i = 0; i < wish.tools.size(); ++i)
    names += (i > 0 ? "| tool_" : "( tool_") + std::to_string(i) + " ";
  return names + ") ";
}

/// "calls", "call", "call_tail" and "calls_tail", which follows the first call.
Result<std::string> call_rules(const AnswerWish& wish, const CallFrame& frame, const Tokenizer& tokenizer) {
  std::string rules = TRY(tool_rules(wish, frame, tokenizer));
  rules += "calls: " + lark_text(frame.section_open, tokenizer) + "call calls_tail\n";
  rules += "call: " + lark_text(frame.call_open, tokenizer) + "call_tail\n";
  rules += "call_tail: " + any_tool(wish) + lark_text(frame.call_close, tokenizer) + "\n";
  rules += "calls_tail: ";
  const bool several = wish.max_calls != 1 && !frame.one_only;
  if (several) {
    rules += "( " + lark_text(frame.separator, tokenizer) + "call )";
    rules += wish.max_calls > 0 ? "{0," + std::to_string(wish.max_calls - 1) + "} " : "* ";
  }
  const std::string close = lark_text(frame.section_close, tokenizer);
  rules += close.empty() && !several ? "\"\"" : close;
  return rules + "\n";
}

/// Content as an item of a rule.
std::string content_item(const Grammar& content) {
  switch (content.kind) {
    case GrammarKind::kJsonSchema:
      return "%json " + with_bounded_space(content.source);
    case GrammarKind::kRegex:
      return lark_regex(content.source);
    case GrammarKind::kLark:
      return "%lark {\n" + content.source + "\n}";
  }
  return {};
}

/// Text that none of the marks begins, and that is no unmarked call.
std::string free_text(const AnswerWish& wish, const ToolDialect& dialect, const Tokenizer& tokenizer) {
  std::string terminal = "FREE_TEXT: /(?s:.+)/";
  std::string marks;
  for (const std::string_view opener : dialect.openers) {
    std::size_t size = 0;
    if (special_token_at(opener, tokenizer, size) != kNoToken) continue;
    marks += (marks.empty() ? "" : "|") + regex_of_text(opener);
  }
  if (!marks.empty()) terminal += " & ~" + lark_regex("(?s:.*)(" + marks + ")(?s:.*)");
  if (!dialect.unmarked_begin.empty())
    terminal += " & ~" + lark_regex("\\s*" + regex_of_text(dialect.unmarked_begin) + "(?s:.*)");
  if (dialect.unmarked_names) {
    std::string names;
    for (const Tool& tool : wish.tools) names += (names.empty() ? "" : "|") + regex_of_text(tool.name);
    terminal += " & ~" + lark_regex("(" + names + ")\\n(?s:.*)");
  }
  return terminal + "\n";
}

/// Text or calls, or both in this order.
Result<std::string> text_or_calls(const AnswerWish& wish, const ToolDialect& dialect,
                                  const Tokenizer& tokenizer) {
  const CallFrame& frame = dialect.frame;
  std::string rules = TRY(call_rules(wish, frame, tokenizer)) + free_text(wish, dialect, tokenizer);
  const std::string opening = std::string(frame.section_open) + std::string(frame.call_open);
  std::string_view opener;
  for (const std::string_view each : dialect.openers) {
    if (opening.starts_with(each) && each.size() > opener.size()) opener = each;
  }
  if (opener.empty()) return "start: FREE_TEXT? | calls\n" + rules;
  std::size_t size = 0;
  if (special_token_at(opener, tokenizer, size) != kNoToken)
    return "start: FREE_TEXT? | FREE_TEXT? calls\n" + rules;
  // The text up to the mark is one lexeme with it; what follows is the rest of the first call.
  const std::string before = lark_text_until(opener, tokenizer, "before", rules);
  const std::string rest = lark_text(std::string_view(opening).substr(opener.size()), tokenizer);
  return "start: FREE_TEXT? | " + before + rest + "call_tail calls_tail\n" + rules;
}

/// gpt-oss: messages in channels, of which a call is one (OpenAI, "Harmony response format").
Result<Grammar> harmony_grammar(const AnswerWish& wish, const Tokenizer& tokenizer) {
  const auto text = [&tokenizer](std::string_view said) { return lark_text(said, tokenizer); };
  std::string rules = "ANY_TEXT: /(?s:.+)/\n";
  std::string thought = "ANY_TEXT";
  if (wish.thinking_budget) {
    rules += "thought[max_tokens=" + std::to_string(*wish.thinking_budget) + "]: /(?s:.+)/\n";
    thought = "thought";
  }
  rules += "analysis: " + text("<|channel|>analysis<|message|>") + thought + "? " +
           text("<|end|><|start|>assistant") + "\n";
  rules += "final: " + text("<|channel|>final<|message|>") +
           (wish.content != nullptr ? content_item(*wish.content) : std::string("ANY_TEXT?")) + "\n";
  std::string body = wish.must_call ? "" : "final ";
  if (!wish.tools.empty()) {
    const CallFrame frame{.arguments_open = " <|constrain|>json<|message|>"};
    rules += TRY(tool_rules(wish, frame, tokenizer));
    rules += "preamble: " + text("<|channel|>commentary<|message|>") + "ANY_TEXT? " +
             text("<|end|><|start|>assistant") + "\n";
    rules += "call: " + text("<|channel|>commentary to=functions.") + any_tool(wish) + "\n";
    body += wish.must_call ? "call " : wish.content != nullptr ? "| call " : "| preamble? call ";
  }
  const bool may_think = !wish.thinking_budget || *wish.thinking_budget > 0;
  return Grammar{GrammarKind::kLark,
                 "start: " + std::string(may_think ? "analysis? " : "") + "( " + body + ")\n" + rules};
}

}  // namespace

Result<std::optional<Grammar>> answer_grammar(const AnswerWish& wish, const dialects::OutputFormat& format,
                                              const Tokenizer& tokenizer) {
  const bool any_strict =
      std::any_of(wish.tools.begin(), wish.tools.end(), [](const Tool& tool) { return tool.strict; });
  const bool limits_thought = format.is_harmony && wish.thinking_budget;
  if (wish.content == nullptr && !wish.must_call && !any_strict && !limits_thought)
    return std::optional<Grammar>();
  if (format.is_harmony) return std::optional(TRY(harmony_grammar(wish, tokenizer)));
  if (wish.tools.empty()) return std::optional(*wish.content);
  if (format.tools == nullptr || format.tools->frame.arguments_open.empty())
    return unsupported("calls cannot be guaranteed in this model's way of writing them");
  const ToolDialect& dialect = *format.tools;
  std::string source;
  if (wish.must_call) {
    source = "start: calls\n" + TRY(call_rules(wish, dialect.frame, tokenizer));
  } else if (wish.content == nullptr) {
    source = TRY(text_or_calls(wish, dialect, tokenizer));
  } else {
    if (dialect.read_unmarked != nullptr)
      return unsupported(
          "an answer's form cannot be kept to beside tools with this model, whose calls have no mark: leave "
          "one of them out");
    source = "start: answer | calls\nanswer: " + content_item(*wish.content) + "\n" +
             TRY(call_rules(wish, dialect.frame, tokenizer));
  }
  return std::optional(Grammar{GrammarKind::kLark, std::move(source)});
}

}  // namespace mlxd
