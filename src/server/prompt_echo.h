// A prompt as the beginning of an answer: its text and, where log-probabilities are asked for, its tokens
// with theirs. A value; `create` on a text worker, as it costs time by the prompt's length.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "api/generation_call.h"
#include "base/result.h"
#include "generation/prompt_scores.h"
#include "generation/text_event.h"
#include "generation/token.h"
#include "text/tokenizer.h"

namespace mlxd {

class PromptEcho {
 public:
  /// `tokens`: what `prompt` is for the model. With `lists_tokens` it is complete once it has their scores.
  static Result<PromptEcho> create(const Tokenizer& tokenizer, const api::RawPrompt& prompt,
                                   std::span<const TokenId> tokens, bool lists_tokens);

  bool awaits_scores() const { return !tokens_.empty() && scores_ == nullptr; }
  /// One for each token but the first.
  void set_scores(std::shared_ptr<const PromptScores> scores);

  /// Makes it the beginning of an answer's first event.
  void put_before(const Tokenizer& tokenizer, TextEvent& event) const;

 private:
  std::string text_;
  // Listed tokens are written out only when they are asked for: they take far more memory then.
  std::vector<TokenId> tokens_;
  std::vector<std::int64_t> num_characters_;  // of the text that are each token's
  std::shared_ptr<const PromptScores> scores_;
};

}  // namespace mlxd
