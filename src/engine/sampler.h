// Chooses tokens from logits on the CPU; the one definition of sampling that every backend's results must
// equal. Stateless but for scratch; one Sampler per thread. See SamplingParams for the order of application
// and vocabulary_pass.h for how the same bits come out on every machine.
//
// Tokens are ranked by logit, largest first, the lower id first on a tie; every filter keeps the first so
// many of that order. A draw goes through the survivors in order of id. NaN logits are never chosen.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/step_batch.h"

namespace mlxd {

class Sampler {
 public:
  /// `logits` [vocab_size] is modified. Alternatives asked for are appended to `top_logprobs`. Time
  /// O(vocabulary). The result is a function of the arguments alone. If the mask allows nothing, or no logit
  /// is a number above -infinity, kNoToken. A scored token whose logit is no number has the log-probability
  /// -infinity.
  SampledToken sample(const SampleSpec& spec, std::span<float> logits,
                      std::vector<TokenLogprob>& top_logprobs);

 private:
  struct Candidate {
    float logit = 0.0F;
    TokenId token = kNoToken;
    std::uint64_t weight = 0;
  };
  /// The model's own distribution: log p = (logit - largest) - log_total, in this order, which keeps huge
  /// logits apart.
  struct RawScale {
    double largest = 0.0;
    double log_total = 0.0;
    float logprob(float logit) const {
      return static_cast<float>((static_cast<double>(logit) - largest) - log_total);
    }
  };
  static bool ranks_before(const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
  }

  void find_maxima(std::span<float> logits);
  void append_alternatives(std::span<const float> logits, const RawScale& scale, std::size_t count,
                           std::vector<TokenLogprob>& top_logprobs);
  void apply_penalties(const SampleSpec& spec, std::span<float> logits, bool keep_raw);
  float raw_logit(std::span<const float> logits, TokenId token) const;

  TokenId largest(std::span<const float> logits) const;
  TokenId draw(const SampleSpec& spec, std::span<const float> logits);
  TokenId draw_unfiltered(std::span<const float> logits, float inverse_temperature, double uniform);
  TokenId draw_candidate(double uniform) const;
  void select_best(std::span<const float> logits, std::size_t count);
  void weigh_candidates(float inverse_temperature);
  Candidate nucleus_end(std::span<const float> logits, double top_p, std::size_t available,
                        float inverse_temperature);
  std::uint64_t gather_nucleus_bin(std::span<const float> logits, std::uint64_t target,
                                   float inverse_temperature);
  void gather_through(std::span<const float> logits, const Candidate& last);

  float largest_logit_ = 0.0F;
  std::vector<float> maxima_;  // of each block of logits
  std::vector<Candidate> candidates_;
  std::vector<std::uint64_t> weights_;  // of one block, or the sums of all blocks
  std::vector<TokenLogprob> raw_;       // logits before penalties and bias, of the tokens these touch
};

/// The uniform draw in [0, 1) of (seed, choice, position): a counter-based generator (Philox4x32-10, Salmon
/// et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
double uniform_draw(std::uint64_t seed, std::uint32_t choice, std::uint32_t position);

}  // namespace mlxd
