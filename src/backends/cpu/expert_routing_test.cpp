#include "backends/cpu/expert_routing.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace mlxd {
namespace {

RouterSpec choosing(std::int32_t experts_per_token) {
  RouterSpec spec;
  spec.experts_per_token = experts_per_token;
  return spec;
}

std::vector<ChosenExpert> route(const RouterSpec& spec, const std::vector<float>& logits,
                                const std::vector<float>& correction = {},
                                const std::vector<float>& expert_scales = {}) {
  RoutingScratch scratch(logits.size());
  std::vector<ChosenExpert> chosen(static_cast<std::size_t>(spec.experts_per_token));
  RouterWeights weights;
  weights.correction = correction;
  weights.expert_scales = expert_scales;
  route_token(spec, weights, logits, scratch, chosen);
  return chosen;
}

std::vector<std::int32_t> experts_of(const std::vector<ChosenExpert>& chosen) {
  std::vector<std::int32_t> experts;
  for (const ChosenExpert& one : chosen) experts.push_back(one.expert);
  return experts;
}

using Experts = std::vector<std::int32_t>;

TEST(ExpertRouting, WeighsByASoftmaxOverAllOrOverTheChosen) {
  const std::vector<float> logits = {0.0F, 2.0F, 1.0F, -1.0F};
  RouterSpec spec = choosing(2);
  const double all = 1.0 + std::exp(2.0) + std::exp(1.0) + std::exp(-1.0);
  auto chosen = route(spec, logits);
  EXPECT_EQ(experts_of(chosen), (Experts{1, 2}));
  EXPECT_NEAR(chosen[0].weight, std::exp(2.0) / all, 1e-6);
  EXPECT_NEAR(chosen[1].weight, std::exp(1.0) / all, 1e-6);
  spec.scoring = RouterScoring::kSoftmaxOfChosen;
  spec.scale = 3.0F;
  chosen = route(spec, logits);
  EXPECT_NEAR(chosen[0].weight, 3.0 / (1.0 + std::exp(-1.0)), 1e-6);
  EXPECT_NEAR(chosen[1].weight, 3.0 / (1.0 + std::exp(1.0)), 1e-6);
}

TEST(ExpertRouting, CorrectsTheChoiceAndNotTheWeights) {
  RouterSpec spec = choosing(2);
  spec.scoring = RouterScoring::kSigmoid;
  const auto chosen = route(spec, {0.0F, 1.0F, 2.0F, -3.0F}, {0.0F, 0.0F, -1.0F, 2.0F});
  EXPECT_EQ(experts_of(chosen), (Experts{1, 3}));
  EXPECT_NEAR(chosen[1].weight, 1.0 / (1.0 + std::exp(3.0)), 1e-6);
  spec.normalize = true;
  const auto normalized = route(spec, {0.0F, 1.0F, 2.0F, -3.0F}, {0.0F, 0.0F, -1.0F, 2.0F});
  EXPECT_NEAR(normalized[0].weight + normalized[1].weight, 1.0, 1e-6);
}

TEST(ExpertRouting, StaysWithinTheBestGroups) {
  RouterSpec spec = choosing(2);
  spec.scoring = RouterScoring::kSigmoid;
  spec.num_groups = 3;
  spec.group_best = 2;
  // The largest single score is in the first group, the best two together in the last.
  const std::vector<float> logits = {3.0F, -9.0F, 0.0F, 0.0F, 2.0F, 1.0F};
  EXPECT_EQ(experts_of(route(spec, logits)), (Experts{4, 5}));
  spec.top_groups = 3;
  EXPECT_EQ(experts_of(route(spec, logits)), (Experts{0, 4}));
}

TEST(ExpertRouting, TakesTheLowerIndexOfEqualScoresAndSomethingOfNone) {
  const RouterSpec spec = choosing(2);
  EXPECT_EQ(experts_of(route(spec, {1.0F, 1.0F, 1.0F, 1.0F})), (Experts{0, 1}));
  const float nan = std::nanf("");
  for (const ChosenExpert& one : route(spec, {nan, nan, nan})) EXPECT_LT(one.expert, 3);
}

TEST(ExpertRouting, ScalesOfExpertsMultiplyTheirWeightsAtLast) {
  RouterSpec spec = choosing(2);
  spec.scoring = RouterScoring::kSoftmaxOfChosen;
  const auto plain = route(spec, {0.0F, 2.0F, 1.0F});
  const auto scaled = route(spec, {0.0F, 2.0F, 1.0F}, {}, {9.0F, 0.5F, 3.0F});
  ASSERT_EQ(experts_of(scaled), experts_of(plain));
  EXPECT_EQ(scaled[0].weight, plain[0].weight * 0.5F);
  EXPECT_EQ(scaled[1].weight, plain[1].weight * 3.0F);
}

}  // namespace
}  // namespace mlxd
