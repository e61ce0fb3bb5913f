// How many prompt tokens a step may take beside decoding sequences, so that the gap between a stream's tokens
// keeps its bound while others prefill. Learns from the steps' own times; a pure calculation, no clock.
//
// Bound: a step with prefill should take at most `gap_ratio` times what a step of the same decodes alone
// takes. The time of a step is taken as
//
//   seconds = decode(num_decodes) + prefill_tokens * per_token
//
// with both terms moving averages of what was measured in such steps. A few prompt tokens ride along with the
// decodes' pass over the weights for next to nothing, so where a prefill begins a token is taken to cost at
// least what it does in steps that only prefill. Until something has been measured, and where nothing
// decodes, the whole budget is given. Beside decodes a chunk at most doubles from one step to the next.
// Prefill never stops: a step gives it at least kLeastTokens.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace mlxd {

class StepPacer {
 public:
  struct Options {
    std::int32_t step_token_budget = 0;
    double gap_ratio = 3.3;
  };
  static constexpr std::int32_t kLeastTokens = 4;

  explicit StepPacer(Options options) : options_(options) {}

  /// Prompt tokens for a step with these decodes; at most what the budget leaves.
  std::int32_t prefill_tokens(std::int32_t num_decodes) const;
  /// What a step took. Steps of no measurable time teach nothing.
  void observe(std::int32_t num_decodes, std::int32_t prefill_tokens, double seconds);

  /// Expected seconds of a step that only decodes; 0 if unknown.
  double decode_seconds(std::int32_t num_decodes) const;
  /// Expected seconds of a token in steps that only prefill; 0 if unknown.
  double prompt_token_seconds() const { return per_token_pure_; }
  /// Expected seconds of a prompt token beside decodes; 0 if unknown.
  double prefill_token_seconds() const;

 private:
  static constexpr std::size_t kNumSizes = 12;

  Options options_;
  std::array<double, kNumSizes> decode_{};  // by power of two of num_decodes; 0: unknown
  double per_token_ = 0.0;                  // beside decodes
  double per_token_pure_ = 0.0;             // in steps that only prefill
  bool begins_ = true;                      // the last step had no prefill beside decodes
  std::int32_t last_mixed_tokens_ = 0;      // prompt tokens of the last step that also decoded
};

}  // namespace mlxd
