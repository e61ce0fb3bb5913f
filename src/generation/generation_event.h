// What comes back from the engine for one request, as values: tokens first, text after the pipeline.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "generation/cache_report.h"
#include "generation/prompt_scores.h"
#include "generation/token.h"

namespace mlxd {

enum class FinishReason {
  kStop,       // an end token or a stop string
  kLength,     // max_tokens or the end of the context
  kToolCalls,  // as kStop, and the answer has complete calls; said by the text pipeline, never by the engine
};
std::string_view to_string(FinishReason reason);

struct Usage {
  std::int32_t prompt_tokens = 0;
  std::int32_t completion_tokens = 0;  // counts the end token, as it was generated
  std::int32_t cached_prompt_tokens = 0;
  std::int32_t reasoning_tokens = 0;  // of completion_tokens, those that were thought, markers included
  std::vector<CacheExplanation> cache = {};  // of each prompt, if asked for
  /// If a text was predicted: tokens guessed from it that were right, and those that were verified in vain.
  struct Prediction {
    std::int32_t accepted_tokens = 0;
    std::int32_t rejected_tokens = 0;
  };
  std::optional<Prediction> prediction = {};
  Duration prompt_time{};      // until the first token, the wait for the engine included
  Duration generation_time{};  // from the first token to the last
  std::int32_t total_tokens() const { return prompt_tokens + completion_tokens; }
};

/// One generated token, or the end of the request. Exactly one event with `finish` or `error` comes, last; of
/// a request that generates nothing it is the only one.
struct TokenEvent {
  TokenId token = kNoToken;
  std::optional<float> logprob;
  std::vector<TokenLogprob> top_logprobs;             // most probable first
  std::shared_ptr<const CacheReport> cache;           // with the first event that is no error
  std::shared_ptr<const PromptScores> prompt_scores;  // the same, if asked for
  std::optional<FinishReason> finish;  // set on the last event, together with its token if there is one
  std::optional<Error> error;          // the request failed; no token
  /// Of the request's prediction: this token was guessed from it, or so many guesses from it were dropped for
  /// this token.
  bool was_predicted = false;
  std::int32_t num_mispredicted = 0;
};

}  // namespace mlxd
