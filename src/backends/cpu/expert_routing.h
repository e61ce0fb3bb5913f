// Which experts of a mixture a token goes to, and with what weight: from its router logits alone, by plain
// scalar code, so that every executor and instruction set chooses alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/model_spec.h"

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

/// Chooses experts_per_token experts into `chosen`, ascending by index. `correction` [experts] is empty where
/// there is none. logits [experts].
void route_token(const RouterSpec& spec, std::span<const float> logits, std::span<const float> correction,
                 RoutingScratch& scratch, std::span<ChosenExpert> chosen);

}  // namespace mlxd
