// Layered prefill: beside decodes, a piece of a prompt goes through some of the layers in each step.
#include <gtest/gtest.h>

#include <chrono>
#include <vector>

#include "engine/testing/engine_harness.h"

namespace mlxd {
namespace {

using testing::answer_alone;
using testing::EngineHarness;
using testing::FakeBackend;
using testing::make_prompt;
using testing::make_request;
using testing::token_work;

constexpr std::int32_t kNumLayers = 12;

/// A stream that decodes, 10 ms a step, on a backend that takes 1 ms for a prompt's token.
class LayeredPrefill : public ::testing::Test {
 protected:
  LayeredPrefill() : harness_({.num_pages = 100, .max_running = 8, .step_token_budget = 400}, backend()) {
    harness_.step_time = [](const StepBatch& batch) {
      return std::chrono::duration_cast<Duration>(
          std::chrono::duration<double>(0.010 + 0.001 * token_work(batch, kNumLayers)));
    };
    // What tokens cost without decodes, and what decodes cost.
    harness_.submit(1, make_request(make_prompt(100, 1), 1));
    harness_.run();
    harness_.submit(kStream, make_request(make_prompt(3, 2), 300));
    for (int i = 0; i < 4; ++i) harness_.step();
  }

  FakeBackend::Options backend() {
    FakeBackend::Options options;
    options.num_layers = kNumLayers;
    options.on_collect = [this]() -> Result<void> {
      if (fails_) return Error(ErrorKind::kInternal, "a kernel failed");
      return {};
    };
    return options;
  }

  const EngineHarness::Step& step() {
    harness_.step();
    return harness_.steps.back();
  }

  static constexpr SequenceId kStream = 2;
  bool fails_ = false;
  EngineHarness harness_;
};

TEST_F(LayeredPrefill, takes_a_prompt_through_the_layers_beside_the_stream) {
  const auto prompt = make_prompt(500, 3);
  harness_.submit(3, make_request(prompt, 5));
  std::int32_t layer = 0;
  std::int32_t num_slices = 0;
  std::int32_t num_tokens = 0;
  while (harness_.answers[3].tokens.empty()) {
    const TimePoint before = harness_.clock.now();
    const std::size_t said = harness_.answers[kStream].tokens.size();
    const EngineHarness::Step& taken = step();
    EXPECT_EQ(harness_.answers[kStream].tokens.size(), said + 1);
    EXPECT_LT(std::chrono::duration<double>(harness_.clock.now() - before).count(), 0.042);
    ASSERT_EQ(taken.chunks.size(), 2U);
    if (taken.slice.num_sequences == 0) {
      EXPECT_EQ(layer, 0);
      num_tokens += taken.chunks[1];
      continue;
    }
    EXPECT_EQ(taken.slice.num_sequences, 1);
    EXPECT_EQ(taken.slice.first_layer, layer);
    EXPECT_GT(taken.slice.last_layer, layer);
    EXPECT_TRUE(taken.chunks[1] > 40 || num_tokens + taken.chunks[1] == 500) << taken.chunks[1];
    ++num_slices;
    layer = taken.slice.last_layer % kNumLayers;
    if (layer == 0) num_tokens += taken.chunks[1];
  }
  EXPECT_EQ(layer, 0);
  EXPECT_EQ(num_tokens, 500);
  EXPECT_GT(num_slices, 12);
  harness_.run();
  EXPECT_EQ(harness_.answers[3].tokens, answer_alone(make_request(prompt, 5)));
  EXPECT_EQ(harness_.answers[kStream].tokens, answer_alone(make_request(make_prompt(3, 2), 300)));
  EXPECT_EQ(harness_.engine->stats().prompt_tokens, 100U + 3U + 500U);
}

TEST_F(LayeredPrefill, ends_at_once_when_nobody_decodes) {
  const auto prompt = make_prompt(300, 3);
  harness_.submit(3, make_request(prompt, 5));
  ASSERT_LT(step().slice.last_layer, kNumLayers);
  harness_.engine->cancel(kStream);
  EXPECT_EQ(step().slice.last_layer, kNumLayers);
  harness_.run();
  EXPECT_EQ(harness_.answers[3].tokens, answer_alone(make_request(prompt, 5)));
}

TEST_F(LayeredPrefill, who_leaves_between_layers_disturbs_nobody) {
  const auto prompt = make_prompt(80, 4);
  harness_.submit(3, make_request(make_prompt(90, 3), 5));
  harness_.submit(4, make_request(prompt, 5));
  const EngineHarness::Step begun = step();
  ASSERT_EQ(begun.slice.num_sequences, 2);
  ASSERT_LT(begun.slice.last_layer, kNumLayers);
  harness_.engine->cancel(3);
  const EngineHarness::Step& next = step();
  EXPECT_EQ(next.slice.num_sequences, 1);
  EXPECT_EQ(next.slice.first_layer, begun.slice.last_layer);
  EXPECT_EQ(next.chunks.back(), begun.chunks.back());
  harness_.run();
  EXPECT_TRUE(harness_.answers[3].tokens.empty());
  EXPECT_EQ(harness_.answers[4].tokens, answer_alone(make_request(prompt, 5)));
}

TEST_F(LayeredPrefill, who_is_displaced_between_layers_begins_anew) {
  const auto with = [](Priority priority) {
    GenerationRequest::Fields fields;
    fields.priority = priority;
    return fields;
  };
  const auto low = make_request(make_prompt(400, 3), 5, {.temperature = 0.0F}, {}, with(Priority::kLow));
  const auto high = make_request(make_prompt(380, 4), 5, {.temperature = 0.0F}, {}, with(Priority::kHigh));
  ASSERT_TRUE(harness_.engine->resize(14).ok());
  harness_.submit(3, low);
  ASSERT_LT(step().slice.last_layer, kNumLayers);
  harness_.submit(4, high);
  EXPECT_EQ(step().slice.first_layer, 0);
  EXPECT_EQ(harness_.engine->stats().preemptions, 1U);
  harness_.run();
  EXPECT_EQ(harness_.answers[3].tokens, answer_alone(low));
  EXPECT_EQ(harness_.answers[4].tokens, answer_alone(high));
  EXPECT_EQ(harness_.answers[kStream].tokens, answer_alone(make_request(make_prompt(3, 2), 300)));
}

TEST_F(LayeredPrefill, a_failed_slice_ends_its_requests_and_the_engine_goes_on) {
  harness_.submit(3, make_request(make_prompt(300, 3), 5));
  ASSERT_LT(step().slice.last_layer, kNumLayers);
  fails_ = true;
  harness_.step();
  fails_ = false;
  EXPECT_TRUE(harness_.answers[kStream].error);
  EXPECT_TRUE(harness_.answers[3].error);
  const auto prompt = make_prompt(200, 4);
  harness_.submit(4, make_request(prompt, 5));
  harness_.run();
  EXPECT_EQ(harness_.answers[4].tokens, answer_alone(make_request(prompt, 5)));
}

}  // namespace
}  // namespace mlxd
