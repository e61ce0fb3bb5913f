// What a request's text pipeline makes of its tokens: the one event stream that every dialect encodes.
// Values.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "generation/generation_event.h"
#include "generation/token.h"

namespace mlxd {

struct TokenText {
  TokenId token = kNoToken;
  std::string text;  // the token's own bytes as text (may be a partial character: see bytes)
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

}  // namespace mlxd
