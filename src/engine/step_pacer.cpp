#include "engine/step_pacer.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace mlxd {
namespace {

// Chunks are multiples of this.
constexpr std::int32_t kTile = 4;
// Weights of a new measurement. Of decodes a falling time is believed sooner: whatever disturbs a step makes
// it longer. Of prompts a rising one: a piece that takes longer than thought is a gap in everyone's stream.
constexpr double kRisingDecodeWeight = 0.1;
constexpr double kFallingDecodeWeight = 0.3;
// A longer time is taken for so many times the average at most: one step that another program disturbed would
// else be the measure of all steps that follow.
constexpr double kBelievedRise = 1.3;
constexpr double kBelievedPieceRise = 1.6;
constexpr double kPureWeight = 0.3;
constexpr double kRisingWeight = 0.5;
constexpr double kFallingWeight = 0.15;
constexpr double kUnknownCostTokens = 128.0;
// The time of fewer is mostly that of the pass itself.
constexpr double kLeastPureWork = 40.0;
constexpr double kLeastGrowth = 56.0;
// A row of few costs so many times one of many: drafts are few.
constexpr double kFewRowsCost = 1.75;
// A larger piece is taken if it makes so many times the tokens a step.
constexpr double kWorthWaiting = 1.05;
// A layer is begun that is expected to overdraw its step by so much of itself: estimates waver, and a layer
// less would leave the rest of the step's time unused.
constexpr double kOverdrawnLayer = 0.3;

std::size_t size_class(std::int32_t num_decodes) {
  const auto size = std::bit_width(static_cast<std::uint32_t>(num_decodes - 1));
  return std::min(static_cast<std::size_t>(size), StepPacer::kNumSizes - 1);
}

void learn(double& average, double value, double rising_weight, double falling_weight) {
  const double weight = value > average ? rising_weight : falling_weight;
  average = average > 0.0 ? average + weight * (value - average) : value;
}

}  // namespace

double StepPacer::decode_seconds(std::int32_t num_decodes) const {
  if (num_decodes < 1) return 0.0;
  // Unknown sizes are taken for the next smaller known one, which errs on the side of short gaps; or else for
  // the next larger.
  const std::size_t size = size_class(num_decodes);
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

double StepPacer::extra_row_seconds() const { return per_token_pure_ * kFewRowsCost; }

double StepPacer::work(double tokens, double share) const {
  return tokens > 0.0 ? (tokens + options_.piece_tokens) * share : 0.0;
}

/// The work of prompts that a step has time for.
double StepPacer::room(std::int32_t num_decodes) const {
  const double decode = decode_seconds(num_decodes);
  if (num_decodes < 1 || decode <= 0.0) return std::numeric_limits<double>::infinity();
  const double per_token = prefill_token_seconds();
  if (per_token <= 0.0) return kUnknownCostTokens;
  const double room = (options_.gap_ratio - 1.0) * decode / per_token;
  return last_mixed_ > 0.0 ? std::min(room, std::max(2.0 * last_mixed_, kLeastGrowth)) : room;
}

StepPacer::Prefill StepPacer::begin_prefill(std::int32_t num_decodes, std::int32_t wanted) const {
  const std::int32_t most = std::min(wanted, options_.step_token_budget - num_decodes);
  if (most <= 0) return {0, options_.num_layers};
  const double room = this->room(num_decodes);
  if (room >= work(most, 1.0)) return {most, options_.num_layers};
  const std::int32_t whole = std::min(
      most, std::max(kLeastTokens, static_cast<std::int32_t>(room - options_.piece_tokens) / kTile * kTile));
  Prefill best{whole, options_.num_layers};
  // Of a piece that takes so many steps, in tokens a step.
  const auto rate = [](std::int32_t tokens, std::int32_t steps) {
    return static_cast<double>(tokens) / steps;
  };
  // The least is taken whatever it costs: as if it took the steps that it has no room in.
  double best_rate = whole / std::max(1.0, work(whole, 1.0) / std::max(room, 1e-9));
  const std::int32_t most_sliced = std::min(most, options_.most_sliced_tokens);
  const double token_layers = room * options_.num_layers;
  // From the smallest piece on: a larger one keeps others waiting for longer, which has to pay.
  for (std::int32_t layers = options_.num_layers - 1; layers > 0; --layers) {
    const auto filling = static_cast<std::int32_t>(token_layers / layers - options_.piece_tokens);
    const std::int32_t tokens = std::min(most_sliced, std::max(filling, kLeastTokens));
    if (tokens <= best.tokens) continue;
    const std::int32_t fitting = std::max(1, static_cast<std::int32_t>(token_layers / work(tokens, 1.0)));
    const std::int32_t steps = (options_.num_layers + fitting - 1) / fitting;
    if (rate(tokens, steps) <= kWorthWaiting * best_rate) continue;
    best = {tokens, fitting};
    best_rate = rate(tokens, steps);
  }
  return best;
}

std::int32_t StepPacer::next_layers(std::int32_t num_decodes, std::int32_t tokens,
                                    std::int32_t layers_left) const {
  const double layers = room(num_decodes) * options_.num_layers / work(tokens, 1.0) + kOverdrawnLayer;
  if (layers >= layers_left) return layers_left;
  return std::max(1, static_cast<std::int32_t>(layers));
}

void StepPacer::observe(std::int32_t num_decodes, double prefill, double seconds) {
  if (seconds <= 0.0) return;
  if (prefill <= 0.0) {
    begins_ = true;
    if (num_decodes > 0) {
      double& decode = decode_[size_class(num_decodes)];
      if (decode > 0.0) seconds = std::min(seconds, kBelievedRise * decode);
      learn(decode, seconds, kRisingDecodeWeight, kFallingDecodeWeight);
    }
    return;
  }
  if (num_decodes == 0) {
    if (prefill >= kLeastPureWork) learn(per_token_pure_, seconds / prefill, kPureWeight, kPureWeight);
    return;
  }
  const double decode = decode_seconds(num_decodes);
  per_token_ = prefill_token_seconds();
  begins_ = false;
  last_mixed_ = prefill;
  if (decode <= 0.0) return;
  double measured = std::max((seconds - decode) / prefill, 1e-9);
  if (per_token_ > 0.0) measured = std::min(measured, kBelievedPieceRise * per_token_);
  learn(per_token_, measured, kRisingWeight, kFallingWeight);
}

void StepPacer::observe_at_most(std::int32_t num_decodes, double seconds) {
  if (seconds <= 0.0 || num_decodes < 1) return;
  begins_ = true;
  double& decode = decode_[size_class(num_decodes)];
  if (decode <= 0.0 || seconds < decode) learn(decode, seconds, 0.0, kFallingDecodeWeight);
}

}  // namespace mlxd
