#include "engine/step_pacer.h"

#include <algorithm>
#include <bit>

namespace mlxd {
namespace {

// Chunks are multiples of this.
constexpr std::int32_t kTile = 4;
// Weights of a new measurement. A rising cost is believed sooner than a falling one: a chunk that takes
// longer than thought is a gap in everyone's stream.
constexpr double kDecodeWeight = 0.1;
constexpr double kPureWeight = 0.3;
constexpr double kRisingWeight = 0.5;
constexpr double kFallingWeight = 0.15;
constexpr std::int32_t kUnknownCostTokens = 128;
// The time of fewer is mostly that of the pass itself.
constexpr std::int32_t kLeastPureTokens = 16;
constexpr std::int32_t kLeastGrowth = 32;

std::size_t size_class(std::int32_t num_decodes) {
  return static_cast<std::size_t>(std::bit_width(static_cast<std::uint32_t>(num_decodes - 1)));
}

void learn(double& average, double value, double weight) {
  average = average > 0.0 ? average + weight * (value - average) : value;
}

}  // namespace

double StepPacer::decode_seconds(std::int32_t num_decodes) const {
  if (num_decodes < 1) return 0.0;
  // Unknown sizes are taken for the next smaller known one, which errs on the side of short gaps; or else for
  // the next larger.
  const std::size_t size = std::min(size_class(num_decodes), kNumSizes - 1);
  for (std::size_t i = size + 1; i-- > 0;) {
    if (decode_[i] > 0.0) return decode_[i];
  }
  for (std::size_t i = size + 1; i < kNumSizes; ++i) {
    if (decode_[i] > 0.0) return decode_[i];
  }
  return 0.0;
}

double StepPacer::prefill_token_seconds() const {
  return begins_ ? std::max(per_token_, per_token_pure_) : per_token_;
}

std::int32_t StepPacer::prefill_tokens(std::int32_t num_decodes) const {
  const std::int32_t most = std::max(0, options_.step_token_budget - num_decodes);
  const double decode = decode_seconds(num_decodes);
  if (num_decodes < 1 || decode <= 0.0) return most;
  const double per_token = prefill_token_seconds();
  if (per_token <= 0.0) return std::min(most, kUnknownCostTokens);
  const double room = std::min((options_.gap_ratio - 1.0) * decode / per_token, 1e6);
  std::int32_t tokens = static_cast<std::int32_t>(room) / kTile * kTile;
  if (last_mixed_tokens_ > 0) tokens = std::min(tokens, std::max(2 * last_mixed_tokens_, kLeastGrowth));
  return std::min(most, std::max(kLeastTokens, tokens));
}

void StepPacer::observe(std::int32_t num_decodes, std::int32_t prefill_tokens, double seconds) {
  if (seconds <= 0.0) return;
  if (prefill_tokens == 0) {
    begins_ = true;
    if (num_decodes > 0)
      learn(decode_[std::min(size_class(num_decodes), kNumSizes - 1)], seconds, kDecodeWeight);
    return;
  }
  if (num_decodes == 0) {
    if (prefill_tokens >= kLeastPureTokens) learn(per_token_pure_, seconds / prefill_tokens, kPureWeight);
    return;
  }
  const double decode = decode_seconds(num_decodes);
  per_token_ = prefill_token_seconds();
  begins_ = false;
  last_mixed_tokens_ = prefill_tokens;
  if (decode <= 0.0) return;
  const double measured = std::max((seconds - decode) / prefill_tokens, 1e-9);
  learn(per_token_, measured, measured > per_token_ ? kRisingWeight : kFallingWeight);
}

}  // namespace mlxd
