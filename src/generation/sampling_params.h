// How the next token is chosen: the wish of one request, checked once, then constant.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "generation/token.h"

namespace mlxd {

struct LogitBias {
  TokenId token = kNoToken;
  float bias = 0.0F;  // added to the logit, -100 … 100
};

/// Order of application: penalties, bias, (mask), then temperature 0 → the largest logit (lowest id on a
/// tie); otherwise logits / temperature, top_k, top_p, min_p, one seeded draw.
struct SamplingParams {
  float temperature = 1.0F;         // 0 … 2; 0 is greedy
  float top_p = 1.0F;               // 0 … 1; 0 keeps the likeliest token only
  std::int32_t top_k = 0;           // 0: off
  float min_p = 0.0F;               // [0, 1]
  float repetition_penalty = 1.0F;  // (0, 2]; over prompt and generated tokens
  float presence_penalty = 0.0F;    // -2 … 2; over generated tokens, as OpenAI defines it
  float frequency_penalty = 0.0F;   // -2 … 2
  std::vector<LogitBias> logit_bias = {};
  /// Absent: drawn at random when the request is accepted.
  std::optional<std::uint64_t> seed = {};
  /// Log-probability of each chosen token.
  bool logprobs = false;
  /// How many alternatives beside each chosen token, 0 … 20.
  std::int32_t top_logprobs = 0;

  /// Checks every range. The error's field is the parameter's name as in the struct.
  Result<void> validate(std::int32_t vocab_size) const;
};

}  // namespace mlxd
