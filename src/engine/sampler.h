// Chooses tokens from logits on the CPU; the one definition of sampling that every backend's results must equal.
// Stateless but for scratch; one Sampler per thread.
#pragma once

#include <span>
#include <vector>

#include "engine/step_batch.h"

namespace mlxd {

class Sampler {
 public:
  /// `logits` [vocab_size] is modified. Alternatives asked for are appended to `top_logprobs`. Time O(vocabulary).
  /// The result is a function of the arguments alone. If the mask allows nothing, kNoToken.
  SampledToken sample(const SampleSpec& spec, std::span<float> logits, std::vector<TokenLogprob>& top_logprobs);

 private:
  std::vector<TokenLogprob> candidates_;
  std::vector<float> scratch_;
};

/// The uniform draw in [0, 1) of (seed, choice, position): a counter-based generator (Philox4x32-10, Salmon et al.,
/// "Parallel random numbers: as easy as 1, 2, 3", 2011).
double uniform_draw(std::uint64_t seed, std::uint32_t choice, std::uint32_t position);

}  // namespace mlxd
