#include "workbench/bench.h"

#include <gtest/gtest.h>

namespace mlxd {
namespace {

TEST(Bench, InterpolatesPercentiles) {
  const auto check = [](std::vector<double> values, double share, double expected) {
    EXPECT_DOUBLE_EQ(percentile(std::move(values), share), expected);
  };
  check({}, 0.5, 0.0);
  check({7.0}, 0.99, 7.0);
  check({3.0, 1.0, 2.0}, 0.5, 2.0);
  check({1.0, 2.0, 3.0, 4.0}, 0.5, 2.5);
  check({0.0, 10.0}, 0.9, 9.0);
}

TEST(Bench, CountsWholePagesOfTheLargestCrowd) {
  BenchPlan plan;
  plan.prompt_tokens = 32;
  plan.tokens = 29;
  plan.concurrency = {1};
  EXPECT_EQ(kv_tokens_needed(plan), 4 * 32);  // 64 tokens are two pages; one is being filled, one to spare
  plan.concurrency = {1, 4};
  EXPECT_GT(kv_tokens_needed(plan), 4 * 3 * 32);
}

}  // namespace
}  // namespace mlxd
