#include "engine/step_pacer.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace mlxd {
namespace {

constexpr std::int32_t kBudget = 512;
constexpr std::int32_t kDecodes = 4;
constexpr double kDecodeSeconds = 0.010;
constexpr double kTokenSeconds = 0.001;  // of a unit of work beside decodes

StepPacer::Options options(std::int32_t num_layers = 1) {
  return {.step_token_budget = kBudget,
          .gap_ratio = 3.0,
          .num_layers = num_layers,
          .most_sliced_tokens = 256,
          .piece_tokens = 24};
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
  return step_seconds(pacer.work(given.tokens, 1.0));
}

TEST(StepPacer, gives_the_whole_budget_where_nothing_decodes_or_nothing_is_known) {
  EXPECT_EQ(taught().begin_prefill(0, 2000).tokens, kBudget);
  EXPECT_EQ(taught().begin_prefill(0, 100).tokens, 100);
  EXPECT_EQ(StepPacer(options()).begin_prefill(kDecodes, 2000).tokens, kBudget - kDecodes);
  EXPECT_EQ(taught().begin_prefill(kBudget, 10).tokens, 0);
}

TEST(StepPacer, keeps_a_steps_time_near_its_bound) {
  StepPacer pacer({.step_token_budget = 512, .gap_ratio = 3.0, .piece_tokens = 24});
  const auto tokens = [&](std::int32_t num_decodes) { return pacer.begin_prefill(num_decodes, 1000).tokens; };
  EXPECT_EQ(tokens(0), 512);
  EXPECT_EQ(tokens(4), 508);     // nothing is known yet
  pacer.observe(0, 512, 0.256);  // 0.5 ms for the work of a token
  EXPECT_EQ(tokens(4), 508);
  pacer.observe(4, 0, 0.020);
  EXPECT_EQ(tokens(4), 56);  // 2 × 20 ms / 0.5 ms, less the piece's own 24
  EXPECT_EQ(pacer.begin_prefill(4, 17).tokens, 17);
  EXPECT_EQ(tokens(0), 512);
  // A machine twice as slow.
  for (int i = 0; i < 50; ++i) pacer.observe(4, 64, 0.020 + 64 * 0.001);
  EXPECT_EQ(tokens(4), 16);
  // A fast one: the work grows by doubling at most.
  for (int i = 0; i < 100; ++i) pacer.observe(4, 40, 0.020 + 40 * 0.00001);
  EXPECT_EQ(tokens(4), 56);
  pacer.observe(4, 80, 0.020 + 80 * 0.00001);
  EXPECT_EQ(tokens(4), 136);
  // Where the next prefill begins, its tokens cost what they cost without decodes.
  pacer.observe(4, 0, 0.020);
  EXPECT_EQ(tokens(4), 56);
  // Never less than the least, nor more than the budget leaves.
  for (int i = 0; i < 50; ++i) pacer.observe(4, 128, 10.0);
  EXPECT_EQ(tokens(4), StepPacer::kLeastTokens);
  EXPECT_EQ(tokens(509), 3);
  EXPECT_EQ(tokens(600), 0);
}

TEST(StepPacer, takes_large_pieces_through_few_layers_at_a_time) {
  StepPacer pacer(options(30));
  // Without decodes, or a bound, or as long as nothing is known, all layers.
  EXPECT_EQ(pacer.begin_prefill(0, 1000).layers, 30);
  EXPECT_EQ(pacer.extra_row_seconds(), 0.0);
  pacer.observe(0, 512, 0.512);  // 1 ms for the work of a token
  EXPECT_NEAR(pacer.extra_row_seconds(), 0.00175, 1e-9);
  EXPECT_EQ(pacer.begin_prefill(4, 1000).layers, 30);
  pacer.observe(4, 0, 0.030);
  // Time for 60. What fits is not sliced; else many tokens, and as many layers as take that time.
  EXPECT_EQ(pacer.begin_prefill(4, 36).layers, 30);
  EXPECT_EQ(pacer.begin_prefill(4, 36).tokens, 36);
  for (const std::int32_t wanted : {100, 150, 200, 400, 1000}) {
    const StepPacer::Prefill prefill = pacer.begin_prefill(4, wanted);
    EXPECT_GE(prefill.tokens, 75);
    EXPECT_LE(prefill.tokens, std::min(wanted, 256));
    EXPECT_LE(pacer.work(prefill.tokens, prefill.layers), 60 * 30);
    EXPECT_GT(pacer.work(prefill.tokens, prefill.layers + 1), 60 * 30);
    EXPECT_EQ(pacer.next_layers(4, prefill.tokens, 30), prefill.layers);
  }
  EXPECT_EQ(pacer.next_layers(4, 200, 30), 8);
  EXPECT_EQ(pacer.next_layers(4, 200, 2), 2);
  EXPECT_EQ(pacer.next_layers(4, 208, 30), 8);  // 7.8
  EXPECT_EQ(pacer.next_layers(4, 256, 30), 6);  // 6.4
  EXPECT_EQ(pacer.next_layers(4, 100000, 30), 1);
  EXPECT_EQ(pacer.next_layers(0, 200, 30), 30);
  // Work in some of the layers is as much less.
  const double work = pacer.work(200, 3 / 30.0);
  EXPECT_DOUBLE_EQ(work, 22.4);
  for (int i = 0; i < 50; ++i) pacer.observe(4, work, 0.030 + work * 0.002);
  EXPECT_NEAR(pacer.prefill_token_seconds(), 0.002, 1e-5);
  EXPECT_EQ(pacer.next_layers(4, 100, 30), 7);
}

TEST(StepPacer, a_whole_small_prompt_goes_into_the_step_it_fits) {
  // 3 × 10 ms: room for 20 units, which a piece's own cost takes already.
  StepPacer pacer = taught();
  EXPECT_EQ(pacer.begin_prefill(kDecodes, kBudget).tokens, StepPacer::kLeastTokens);
  for (int i = 0; i < 20; ++i) pacer.observe(kDecodes, 40.0, kDecodeSeconds + 40.0 * kTokenSeconds / 4);
  EXPECT_EQ(pacer.begin_prefill(kDecodes, 40).tokens, 40);
  EXPECT_LE(
      kDecodeSeconds + kTokenSeconds / 4 * pacer.work(pacer.begin_prefill(kDecodes, kBudget).tokens, 1.0),
      3.0 * kDecodeSeconds + 1e-9);
}

TEST(StepPacer, of_pieces_that_do_nearly_as_well_the_smaller_is_taken) {
  StepPacer::Options cheap = options(30);
  cheap.piece_tokens = 4;
  StepPacer pacer(cheap);
  pacer.observe(0, 400.0, 400.0 * kTokenSeconds);
  pacer.observe(kDecodes, 0.0, kDecodeSeconds);
  // 196 tokens by 3 layers would make 19.6 tokens a step, 96 by 6 make 19.2, 16 by all 16.
  const StepPacer::Prefill given = pacer.begin_prefill(kDecodes, kBudget);
  EXPECT_NEAR(given.tokens, 96, 4);
  EXPECT_NEAR(given.layers, 6, 1);
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
