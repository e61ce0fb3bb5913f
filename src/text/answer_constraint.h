// Makes an answer what was asked for, token by token: its content matches a grammar, which begins when the
// reasoning has ended, and the reasoning ends within its budget. One owner at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "generation/token_constraint.h"
#include "text/dialects/output_parser.h"
#include "text/grammar_matcher.h"
#include "text/tokenizer.h"

namespace mlxd {

class AnswerConstraint : public TokenConstraint {
 public:
  struct Options {
    const Tokenizer* tokenizer = nullptr;  // outlives this
    std::int32_t vocab_size = 0;           // of the model's logits
    std::vector<TokenId> end_tokens = {};
    dialects::ReasoningMarks reasoning{};
    dialects::OutputParser::Start start = dialects::OutputParser::Start::kContent;
    std::optional<GrammarMatcher> grammar = {};
    std::optional<std::int32_t> thinking_budget = {};  // tokens, after the opening marker
  };
  /// Errors: as Tokenizer::encode, of the closing marker.
  static Result<std::shared_ptr<AnswerConstraint>> create(Options options);

  std::span<const std::uint32_t> mask() override;
  void advance(TokenId token) override;
  const std::optional<Error>& error() const override { return error_; }

 private:
  enum class Phase : std::uint8_t {
    kOpening,  // reasoning may begin, or the answer
    kReasoning,
    kClosing,  // the closing marker is written, whatever the model would say
    kAnswer,
  };

  AnswerConstraint(Options options, std::vector<TokenId> closing);
  void begin_reasoning();
  void advance_opening(TokenId token);
  void advance_reasoning(TokenId token);
  void accept(TokenId token);
  void allow_only(TokenId token);

  Options options_;
  std::vector<TokenId> closing_;   // the marker's tokens
  TokenId open_token_ = kNoToken;  // if the opening marker is one token
  Phase phase_ = Phase::kOpening;
  std::string text_;  // not yet told: while opening all of it, while reasoning its end
  std::int32_t num_thought_ = 0;
  std::size_t num_closed_ = 0;
  std::vector<std::uint32_t> mask_;
  std::optional<Error> error_;
};

}  // namespace mlxd
