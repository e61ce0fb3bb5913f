// Which experts of a mixture a token goes to, and with what weight: from its router logits alone, by plain
// scalar code, so that every executor and instruction set chooses alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "model/model_spec.h"
#include "model/weight_map.h"

namespace mlxd {

struct ChosenExpert {
  std::int32_t expert = 0;
  float weight = 0.0F;
};

/// What route_token writes on the way; one for each thread.
struct RoutingScratch {
  explicit RoutingScratch(std::size_t num_experts)
      : scores(num_experts), choice(num_experts), groups(num_experts) {}
  std::vector<float> scores, choice, groups;
};

/// A router's tensors in fp32.
struct RouterWeights {
  std::vector<float> gate;        // [experts, hidden], times input_scales and input_scale
  std::vector<float> bias;        // [experts], or empty; as those below
  std::vector<float> correction;  // correction_bias
  std::vector<float> expert_scales;

  /// Errors: kCorruptData.
  static Result<RouterWeights> read(const RouterSpec& spec, const WeightMap& weights);
  std::size_t num_floats() const {
    return gate.size() + bias.size() + correction.size() + expert_scales.size();
  }
};

/// Chooses experts_per_token experts into `chosen`, ascending by index, of logits [experts], the bias added.
void route_token(const RouterSpec& spec, const RouterWeights& weights, std::span<const float> logits,
                 RoutingScratch& scratch, std::span<ChosenExpert> chosen);

}  // namespace mlxd
