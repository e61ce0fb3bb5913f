#include "backends/cpu/expert_routing.h"

#include <algorithm>
#include <cmath>

#include "backends/cpu/dense_weights.h"
#include "backends/cpu/vector.h"

namespace mlxd {
namespace {

// vector.h's, so that it has the same bits with every library.
float exponential(float x) { return exp<ScalarVector>(ScalarVector::broadcast(x)).lane[0]; }

void softmax(std::span<float> values) {
  const float largest = *std::max_element(values.begin(), values.end());
  float sum = 0.0F;
  for (float& value : values) {
    value = exponential(value - largest);
    sum += value;
  }
  for (float& value : values) value /= sum;
}

/// Sum of the `count` largest values.
float sum_of_best(std::span<const float> values, std::int32_t count) {
  float sum = 0.0F;
  std::size_t last = values.size();  // the one taken last
  for (std::int32_t taken = 0; taken < count; ++taken) {
    std::size_t best = values.size();
    for (std::size_t i = 0; i < values.size(); ++i) {
      const bool left =
          last == values.size() || values[i] < values[last] || (values[i] == values[last] && i > last);
      if (left && (best == values.size() || values[i] > values[best])) best = i;
    }
    if (best == values.size()) break;
    sum += values[best];
    last = best;
  }
  return sum;
}

/// Scores of all groups but the best become zero.
void mask_groups(const RouterSpec& spec, std::span<float> scores, std::span<float> sums) {
  const std::size_t size = scores.size() / sums.size();
  for (std::size_t group = 0; group < sums.size(); ++group)
    sums[group] = sum_of_best(scores.subspan(group * size, size), spec.group_best);
  for (std::size_t group = 0; group < sums.size(); ++group) {
    std::int32_t better = 0;
    for (std::size_t other = 0; other < sums.size(); ++other) {
      if (sums[other] > sums[group] || (sums[other] == sums[group] && other < group)) ++better;
    }
    if (better >= spec.top_groups) {
      const std::span<float> masked = scores.subspan(group * size, size);
      std::fill(masked.begin(), masked.end(), 0.0F);
    }
  }
}

/// Weight of the best of `choice`: its share among those that are within the band below it.
float sparse_mixer_weight(std::span<const float> logits, std::span<const float> choice, float best,
                          float jitter) {
  float sum = 0.0F;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const float distance = (best - logits[i]) / std::max(std::abs(logits[i]), best);
    if (choice[i] == -INFINITY || distance > 2.0F * jitter) continue;
    sum += exponential(choice[i] - best);
  }
  return sum > 0.0F ? 1.0F / sum : 0.0F;
}

}  // namespace

Result<RouterWeights> RouterWeights::read(const RouterSpec& spec, const WeightMap& weights) {
  RouterWeights router;
  router.gate = TRY(read_linear(spec.gate, weights));
  router.bias = TRY(read_bias(spec.gate, weights));
  const std::int32_t experts = spec.gate.out_features;
  if (!spec.correction_bias.empty())
    router.correction = TRY(read_vector(spec.correction_bias, experts, weights));
  if (!spec.expert_scales.empty())
    router.expert_scales = TRY(read_vector(spec.expert_scales, experts, weights));
  if (spec.input_scales.empty()) return router;
  const std::int32_t hidden = spec.gate.in_features;
  const std::vector<float> scales = TRY(read_vector(spec.input_scales, hidden, weights));
  for (std::size_t i = 0; i < router.gate.size(); ++i)
    router.gate[i] *= scales[i % static_cast<std::size_t>(hidden)] * spec.input_scale;
  return router;
}

void route_token(const RouterSpec& spec, const RouterWeights& weights, std::span<const float> logits,
                 RoutingScratch& scratch, std::span<ChosenExpert> chosen) {
  const std::span<float> scores(scratch.scores.data(), logits.size());
  std::copy(logits.begin(), logits.end(), scores.begin());
  if (spec.scoring == RouterScoring::kSoftmax) softmax(scores);
  if (spec.scoring == RouterScoring::kSigmoid) {
    for (float& score : scores) score = 1.0F / (1.0F + exponential(-score));
  }
  const std::span<float> choice(scratch.choice.data(), logits.size());
  std::copy(scores.begin(), scores.end(), choice.begin());
  for (std::size_t i = 0; i < weights.correction.size(); ++i) choice[i] += weights.correction[i];
  if (spec.num_groups > 1)
    mask_groups(spec, choice, std::span(scratch.groups).first(static_cast<std::size_t>(spec.num_groups)));

  for (ChosenExpert& one : chosen) {
    std::size_t best = choice.size();
    // NaN is never larger: a token whose logits are none still goes somewhere.
    for (std::size_t i = 0; i < choice.size(); ++i) {
      if (choice[i] == -INFINITY) continue;
      if (best == choice.size() || choice[i] > choice[best]) best = i;
    }
    if (best == choice.size()) best = 0;
    one = {static_cast<std::int32_t>(best), scores[best]};
    if (spec.scoring == RouterScoring::kSparseMixer)
      one.weight = sparse_mixer_weight(logits, choice, choice[best], spec.jitter);
    choice[best] = -INFINITY;
  }
  std::sort(chosen.begin(), chosen.end(),
            [](const ChosenExpert& a, const ChosenExpert& b) { return a.expert < b.expert; });
  if (spec.scoring == RouterScoring::kSoftmaxOfChosen) {
    std::span<float> shares(scratch.choice.data(), chosen.size());
    for (std::size_t i = 0; i < chosen.size(); ++i) shares[i] = chosen[i].weight;
    softmax(shares);
    for (std::size_t i = 0; i < chosen.size(); ++i) chosen[i].weight = shares[i];
  }
  float sum = spec.normalize_eps;
  for (const ChosenExpert& one : chosen) sum += one.weight;
  for (ChosenExpert& one : chosen) {
    if (spec.normalize) one.weight /= sum;
    one.weight *= spec.scale;
    if (!weights.expert_scales.empty())
      one.weight *= weights.expert_scales[static_cast<std::size_t>(one.expert)];
  }
}

}  // namespace mlxd
