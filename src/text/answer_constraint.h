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

  void foresee(std::int32_t most, std::vector<TokenId>& tokens) override;
  std::int32_t num_allowed(std::span<const TokenId> tokens) override;
  bool look_ahead(std::span<const TokenId> guesses) override;
  void compute_masks() override;
  std::span<const std::uint32_t> mask(std::size_t num_guesses) const override;
  void advance(TokenId token) override;
  const std::optional<Error>& error() const override { return error_; }

 private:
  enum class Phase : std::uint8_t {
    kOpening,  // reasoning may begin, or the answer
    kReasoning,
    kClosing,  // the closing marker is written, whatever the model would say
    kBreak,    // the model has closed its reasoning: line breaks that are layout may come, or the answer
    kAnswer,
  };
  /// How far the answer has come, but for the grammar.
  struct Place {
    Phase phase = Phase::kOpening;
    std::string text;  // not yet told: while opening all of it, while reasoning its end
    std::int32_t num_thought = 0;
    std::size_t num_closed = 0;
  };

  AnswerConstraint(Options options, std::vector<TokenId> closing);
  void begin_reasoning(Place& place) const;
  Result<void> advance(Place& place, GrammarMatcher* grammar, TokenId token) const;
  Result<void> advance_opening(Place& place, GrammarMatcher* grammar, TokenId token) const;
  void advance_reasoning(Place& place, TokenId token) const;
  /// False if all tokens may come.
  Result<bool> fill(const Place& place, GrammarMatcher* grammar, std::span<std::uint32_t> words) const;
  GrammarMatcher* grammar() { return options_.grammar ? &*options_.grammar : nullptr; }

  Options options_;
  std::vector<TokenId> closing_;   // the marker's tokens
  TokenId open_token_ = kNoToken;  // if the opening marker is one token
  std::vector<TokenId> breaks_;    // the tokens of one line break and of two
  Place place_;
  std::optional<Error> error_;

  // Of the step.
  std::vector<TokenId> guesses_;
  std::size_t num_words_ = 0;            // of a mask
  std::vector<std::uint32_t> words_;     // [guesses + 1, num_words_]
  std::vector<std::uint8_t> restricts_;  // [guesses + 1]; 0: all may come
};

}  // namespace mlxd
