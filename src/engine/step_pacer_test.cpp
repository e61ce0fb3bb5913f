#include "engine/step_pacer.h"

#include <gtest/gtest.h>

namespace mlxd {
namespace {

constexpr std::int32_t kBudget = 512;
constexpr std::int32_t kDecodes = 4;
constexpr double kDecodeSeconds = 0.010;
constexpr double kTokenSeconds = 0.001;  // of a unit of work beside decodes

StepPacer::Options options(std::int32_t num_layers = 1) {
  return {
      .step_token_budget = kBudget, .gap_ratio = 3.0, .num_layers = num_layers, .most_sliced_tokens = 256};
}

double step_seconds(double work) { return kDecodeSeconds + kTokenSeconds * work; }

/// Has seen prompts alone and decodes alone.
StepPacer taught(std::int32_t num_layers = 1) {
  StepPacer pacer(options(num_layers));
  pacer.observe(0, 400.0, 400.0 * kTokenSeconds);
  for (int i = 0; i < 5; ++i) pacer.observe(kDecodes, 0.0, kDecodeSeconds);
  return pacer;
}

/// Seconds that a step would take with what the pacer gives it.
double given_seconds(const StepPacer& pacer) {
  const StepPacer::Prefill given = pacer.begin_prefill(kDecodes, kBudget);
  return step_seconds(StepPacer::work(given.tokens, 1.0));
}

TEST(StepPacer, gives_the_whole_budget_where_nothing_decodes_or_nothing_is_known) {
  EXPECT_EQ(taught().begin_prefill(0, 2000).tokens, kBudget);
  EXPECT_EQ(taught().begin_prefill(0, 100).tokens, 100);
  EXPECT_EQ(StepPacer(options()).begin_prefill(kDecodes, 2000).tokens, kBudget - kDecodes);
  EXPECT_EQ(taught().begin_prefill(kBudget, 10).tokens, 0);
}

TEST(StepPacer, a_whole_small_prompt_goes_into_the_step_it_fits) {
  // 3 × 10 ms: room for 20 units, which a piece's own cost takes already.
  StepPacer pacer = taught();
  EXPECT_EQ(pacer.begin_prefill(kDecodes, kBudget).tokens, StepPacer::kLeastTokens);
  for (int i = 0; i < 20; ++i) pacer.observe(kDecodes, 40.0, kDecodeSeconds + 40.0 * kTokenSeconds / 4);
  EXPECT_EQ(pacer.begin_prefill(kDecodes, 40).tokens, 40);
  EXPECT_LE(kDecodeSeconds +
                kTokenSeconds / 4 * StepPacer::work(pacer.begin_prefill(kDecodes, kBudget).tokens, 1.0),
            3.0 * kDecodeSeconds + 1e-9);
}

TEST(StepPacer, fills_the_bound_with_layers_of_a_larger_piece) {
  const StepPacer pacer = taught(30);
  const StepPacer::Prefill given = pacer.begin_prefill(kDecodes, kBudget);
  EXPECT_GT(given.tokens, 100);
  EXPECT_LE(given.tokens, 256);
  ASSERT_LT(given.layers, 30);
  const double share = given.layers / 30.0;
  EXPECT_LE(step_seconds(StepPacer::work(given.tokens, share)), 3.0 * kDecodeSeconds);
  EXPECT_GT(step_seconds(StepPacer::work(given.tokens, share)), 2.5 * kDecodeSeconds);
  EXPECT_EQ(pacer.next_layers(kDecodes, given.tokens, 30), given.layers);
  EXPECT_EQ(pacer.next_layers(kDecodes, given.tokens, 1), 1);
  EXPECT_EQ(pacer.next_layers(0, given.tokens, 17), 17);
}

TEST(StepPacer, a_layer_is_taken_whatever_it_costs) {
  StepPacer pacer = taught(30);
  for (int i = 0; i < 50; ++i) pacer.observe(kDecodes, 100.0, 1.0);
  EXPECT_EQ(pacer.next_layers(kDecodes, 256, 30), 1);
}

TEST(StepPacer, one_disturbed_step_is_no_measure_of_those_that_follow) {
  StepPacer quiet = taught(30);
  StepPacer pacer = quiet;
  pacer.observe(kDecodes, 0.0, 50.0 * kDecodeSeconds);
  EXPECT_LT(pacer.decode_seconds(kDecodes), 1.04 * kDecodeSeconds);

  quiet.observe(kDecodes, 20.0, step_seconds(20.0));
  pacer = quiet;
  pacer.observe(kDecodes, 20.0, 50.0 * step_seconds(20.0));
  EXPECT_GT(pacer.prefill_token_seconds(), kTokenSeconds);
  EXPECT_LT(pacer.prefill_token_seconds(), 1.35 * quiet.prefill_token_seconds());
  for (int i = 0; i < 20; ++i) pacer.observe(kDecodes, 20.0, step_seconds(20.0));
  EXPECT_NEAR(pacer.prefill_token_seconds(), kTokenSeconds, 0.02 * kTokenSeconds);
}

TEST(StepPacer, what_lastingly_takes_longer_is_believed_within_a_few_steps) {
  StepPacer pacer = taught(30);
  pacer.observe(kDecodes, 20.0, step_seconds(20.0));
  for (int i = 0; i < 6; ++i) pacer.observe(kDecodes, 20.0, kDecodeSeconds + 20.0 * 3.0 * kTokenSeconds);
  EXPECT_GT(pacer.prefill_token_seconds(), 2.8 * kTokenSeconds);
  for (int i = 0; i < 60; ++i) pacer.observe(kDecodes, 0.0, 2.0 * kDecodeSeconds);
  EXPECT_GT(pacer.decode_seconds(kDecodes), 1.9 * kDecodeSeconds);
}

TEST(StepPacer, begins_with_the_cost_of_prompts_alone) {
  StepPacer pacer = taught(30);
  // A few tokens ride along for next to nothing, which promises too much.
  for (int i = 0; i < 100; ++i) pacer.observe(kDecodes, 28.0, kDecodeSeconds);
  const double riding = pacer.prefill_token_seconds();
  EXPECT_LT(riding, 0.1 * kTokenSeconds);
  pacer.observe(kDecodes, 0.0, kDecodeSeconds);
  EXPECT_DOUBLE_EQ(pacer.prefill_token_seconds(), kTokenSeconds);
}

TEST(StepPacer, grows_at_most_twofold_from_step_to_step) {
  StepPacer pacer = taught();
  for (int i = 0; i < 30; ++i) pacer.observe(kDecodes, 80.0, kDecodeSeconds + 80.0 * kTokenSeconds / 100);
  EXPECT_LE(StepPacer::work(pacer.begin_prefill(kDecodes, kBudget).tokens, 1.0), 160.0);
}

TEST(StepPacer, steps_that_had_more_to_do_only_lower_what_decodes_take) {
  StepPacer pacer = taught();
  pacer.observe_at_most(kDecodes, 5.0 * kDecodeSeconds);
  EXPECT_DOUBLE_EQ(pacer.decode_seconds(kDecodes), kDecodeSeconds);
  for (int i = 0; i < 30; ++i) pacer.observe_at_most(kDecodes, 0.5 * kDecodeSeconds);
  EXPECT_NEAR(pacer.decode_seconds(kDecodes), 0.5 * kDecodeSeconds, 0.01 * kDecodeSeconds);
}

TEST(StepPacer, sizes_not_seen_are_taken_for_their_neighbours) {
  StepPacer pacer = taught();
  EXPECT_DOUBLE_EQ(pacer.decode_seconds(60), kDecodeSeconds);
  EXPECT_DOUBLE_EQ(pacer.decode_seconds(1), kDecodeSeconds);
  pacer.observe(1, 0.0, 0.5 * kDecodeSeconds);
  EXPECT_DOUBLE_EQ(pacer.decode_seconds(1), 0.5 * kDecodeSeconds);
  EXPECT_DOUBLE_EQ(pacer.decode_seconds(2), 0.5 * kDecodeSeconds);
  EXPECT_EQ(pacer.decode_seconds(0), 0.0);
}

TEST(StepPacer, impossible_times_teach_nothing) {
  StepPacer pacer = taught();
  pacer.observe(kDecodes, 0.0, 0.0);
  pacer.observe(kDecodes, 20.0, -1.0);
  pacer.observe_at_most(kDecodes, 0.0);
  EXPECT_DOUBLE_EQ(pacer.decode_seconds(kDecodes), kDecodeSeconds);
  EXPECT_DOUBLE_EQ(pacer.prefill_token_seconds(), kTokenSeconds);
  EXPECT_DOUBLE_EQ(given_seconds(pacer), given_seconds(taught()));
}

}  // namespace
}  // namespace mlxd
