// Token ids as the engine and the tokenizer share them.
#pragma once

#include <cstdint>

namespace mlxd {

/// Index into a model's vocabulary; never negative where a real token is meant.
using TokenId = std::int32_t;

inline constexpr TokenId kNoToken = -1;

struct TokenLogprob {
  TokenId token = kNoToken;
  /// Natural logarithm of the probability under the model's own distribution (temperature 1, before
  /// penalties, bias and filters).
  float logprob = 0.0F;
  bool operator==(const TokenLogprob&) const = default;
};

}  // namespace mlxd
