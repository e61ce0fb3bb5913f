// What a scripted model says: answers, each to prompts in which some text is the last of all that the script
// knows. And from tokens to tokens: the one that follows a prompt and what was said of its answer so far.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "generation/token.h"
#include "text/tokenizer.h"

namespace mlxd::testing {

class Script {
 public:
  struct Answer {
    std::string when = {};    // stands in the prompt; empty: stands in all, before everything else
    std::string unless = {};  // if not empty: does not stand in it
    std::string say = {};     // as the model writes it, marks of its dialect too; its end token follows
  };

  /// A file {"answers": [{"when", "unless", "say"}]}. Errors: kNotFound, kIo; kCorruptData naming the member.
  static Result<Script> read(const std::filesystem::path& file);
  explicit Script(std::vector<Answer> answers) : answers_(std::move(answers)) {}

  /// The answer whose `when` begins last in the prompt, the earlier one of two; null if none fits.
  const Answer* answer_to(std::string_view prompt) const;

 private:
  std::vector<Answer> answers_;
};

/// Says a script, a token at a time. One owner.
class ScriptSpeaker {
 public:
  /// `tokenizer` must outlive this. `end_token` comes after each answer.
  ScriptSpeaker(Script script, const Tokenizer& tokenizer, TokenId end_token)
      : script_(std::move(script)), tokenizer_(tokenizer), end_token_(end_token) {}

  /// The token after `prefix`, a prompt or one with the beginning of its answer. A constraint may have made
  /// other tokens of the same text; what no answer begins with is a new prompt. One that the script does not
  /// know is told of on standard error, and answered by nothing but the end.
  TokenId next(std::span<const TokenId> prefix);

 private:
  struct Speech {
    std::vector<TokenId> prompt;
    std::string text;
    std::vector<TokenId> tokens;  // of the whole text
  };

  const Speech& begin(std::span<const TokenId> prompt);
  /// The token of `speech` after what of it was `said`, or kNoToken if that is none of it.
  TokenId go_on(const Speech& speech, std::span<const TokenId> said) const;

  Script script_;
  const Tokenizer& tokenizer_;
  TokenId end_token_;
  std::deque<Speech> speeches_;  // newest first
};

}  // namespace mlxd::testing
