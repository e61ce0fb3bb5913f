// From a request's token events to text: detokenized, cut at stop strings. One per request, one owner.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "generation/generation_event.h"
#include "text/detokenizer.h"
#include "text/stop_matcher.h"

namespace mlxd {

struct TokenText {
  TokenId token = kNoToken;
  std::string text;   // the token's own bytes as text (may be a partial character: see bytes)
  std::string bytes;
  float logprob = 0.0F;
  struct Alternative {
    TokenId token = kNoToken;
    std::string bytes;
    float logprob = 0.0F;
  };
  std::vector<Alternative> top;
};

/// A piece of the answer.
struct TextEvent {
  std::string text;                    // may be empty
  std::vector<TokenText> logprobs;     // if asked: of the tokens consumed by this event
  std::optional<FinishReason> finish;  // last event
  std::string matched_stop;            // the stop string that ended it, or empty
  std::optional<Error> error;          // last event of a failed request
};

class TextStream {
 public:
  struct Options {
    std::vector<std::string> stop_strings;
    std::vector<TokenId> stop_tokens;   // their text is not part of the answer
    bool skip_special_tokens = true;
    bool logprobs = false;
  };
  /// `tokenizer` must outlive this.
  TextStream(const Tokenizer& tokenizer, Options options);

  /// Consumes token events; after an event with finish or error, push no more. Returns what they make, if anything.
  std::optional<TextEvent> push(std::vector<TokenEvent>&& events);
  /// Tokens counted so far, the one that completed a stop string included.
  std::int32_t completion_tokens() const { return completion_tokens_; }

 private:
  const Tokenizer& tokenizer_;
  Options options_;
  Detokenizer detokenizer_;
  StopMatcher stop_matcher_;
  std::int32_t completion_tokens_ = 0;
};

}  // namespace mlxd
