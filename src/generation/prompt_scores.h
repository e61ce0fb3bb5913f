// How probable a model finds a prompt; a value that travels with a request's first token.
#pragma once

#include <vector>

#include "generation/token.h"

namespace mlxd {

struct TokenScore {
  float logprob = 0.0F;                         // -infinity: the model rules the token out
  std::vector<TokenLogprob> top_logprobs = {};  // most probable first
  bool operator==(const TokenScore&) const = default;
};

/// Of a prompt's tokens but the first, which nothing comes before: [i] is that of token i + 1.
using PromptScores = std::vector<TokenScore>;

}  // namespace mlxd
