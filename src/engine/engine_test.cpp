#include "engine/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "engine/testing/allocation_count.h"
#include "engine/testing/engine_harness.h"

namespace mlxd {
namespace {

using testing::answer_alone;
using testing::EngineHarness;
using testing::FakeBackend;
using testing::make_prompt;
using testing::make_request;
using Chunks = std::vector<std::int32_t>;

TEST(Engine, answers_a_request_until_its_ceiling) {
  EngineHarness harness({.num_pages = 10});
  harness.submit(7, make_request({1, 2, 3}, 5));
  harness.run();
  EXPECT_EQ(harness.answers[7].tokens.size(), 5U);
  EXPECT_EQ(harness.answers[7].finish, FinishReason::kLength);
  EXPECT_EQ(harness.num_steps, 5U);
  const EngineStats stats = harness.engine->stats();
  EXPECT_EQ(stats.prompt_tokens, 3U);
  EXPECT_EQ(stats.generated_tokens, 5U);
  EXPECT_EQ(stats.requests_finished, 1U);
  EXPECT_EQ(stats.steps, 5U);
  EXPECT_EQ(stats.recomputed_tokens, 0U);
}

TEST(Engine, warms_up_without_a_trace) {
  EngineHarness harness({.num_pages = 10});
  ASSERT_TRUE(harness.engine->warm_up().ok());
  EXPECT_EQ(harness.engine->stats().steps, 0U);
  EXPECT_EQ(harness.engine->stats().pages_used, 0);
  EXPECT_TRUE(harness.engine->idle());
  harness.submit(1, make_request({1, 2, 3}, 5));
  harness.run();
  EXPECT_EQ(harness.answers[1].tokens, answer_alone(make_request({1, 2, 3}, 5)));
  FakeBackend::Options broken;
  broken.vocab_size = 1;
  broken.script = [](std::span<const TokenId>) -> TokenId { return 0; };
  broken.script_logit = -std::numeric_limits<float>::infinity();
  EngineHarness other({.num_pages = 10}, broken);
  const Result<void> warmed = other.engine->warm_up();
  ASSERT_FALSE(warmed.ok());
  EXPECT_EQ(warmed.error().kind, ErrorKind::kInternal);
}

TEST(Engine, ends_at_a_stop_token_and_reports_it) {
  FakeBackend::Options backend;
  backend.script = [](std::span<const TokenId> prefix) -> TokenId { return prefix.size() == 6 ? 42 : 5; };
  EngineHarness harness({.num_pages = 10}, backend);
  harness.submit(1, make_request({1, 2, 3}, 50, {.temperature = 0.0F, .seed = 0}, {9, 42}));
  harness.run();
  EXPECT_EQ(harness.answers[1].tokens, (std::vector<TokenId>{5, 5, 5, 42}));
  EXPECT_EQ(harness.answers[1].finish, FinishReason::kStop);
}

TEST(Engine, runs_decodes_first_and_halves_the_rest_between_the_first_prefill_and_the_shortest) {
  EngineHarness harness({.num_pages = 100, .step_token_budget = 50});
  harness.submit(1, make_request(make_prompt(10, 1), 20));
  harness.step();
  harness.submit(2, make_request(make_prompt(120, 2), 20));
  harness.submit(3, make_request(make_prompt(30, 3), 20));
  for (int i = 0; i < 5; ++i) harness.step();
  const std::vector<Chunks> expected{{10}, {1, 25, 24}, {1, 43, 6}, {1, 1, 48}, {1, 1, 4}, {1, 1, 1}};
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(harness.steps[i].chunks, expected[i]) << i;
  EXPECT_EQ(harness.answers[3].first_token_step, 3U);
  EXPECT_EQ(harness.answers[2].first_token_step, 5U);
}

TEST(Engine, requests_join_and_leave_between_steps) {
  EngineHarness harness({.num_pages = 100});
  harness.submit(1, make_request(make_prompt(4, 1), 6));
  harness.step();
  harness.submit(2, make_request(make_prompt(5, 2), 2));
  harness.step();
  harness.step();
  EXPECT_TRUE(harness.answers[2].ended());
  EXPECT_FALSE(harness.answers[1].ended());
  harness.run();
  EXPECT_EQ(harness.answers[1].tokens, answer_alone(make_request(make_prompt(4, 1), 6)));
  EXPECT_EQ(harness.answers[2].tokens, answer_alone(make_request(make_prompt(5, 2), 2)));
  EXPECT_EQ(harness.engine->stats().max_batch_sequences, 2);
}

TEST(Engine, gives_the_same_answer_at_any_chunk_size) {
  const auto request = [] { return make_request(make_prompt(131, 5), 40, {.temperature = 1.0F, .seed = 9}); };
  const std::vector<TokenId> alone = answer_alone(request());
  for (const std::int32_t budget : {1, 2, 31, 32, 33, 64, 130, 131, 512}) {
    EngineHarness harness({.num_pages = 6, .step_token_budget = budget});
    harness.submit(1, request());
    harness.run();
    EXPECT_EQ(harness.answers[1].tokens, alone) << budget;
    for (const auto& step : harness.steps) EXPECT_LE(step.tokens, budget);
  }
}

TEST(Engine, penalties_and_seeds_survive_the_company_of_others) {
  const auto request = [](std::int32_t i) {
    return make_request(make_prompt(20 + i, i), 30,
                        {.temperature = 0.5F + 0.1F * static_cast<float>(i),
                         .top_p = 0.9F,
                         .repetition_penalty = 1.3F,
                         .presence_penalty = 0.5F,
                         .frequency_penalty = 0.2F,
                         .logit_bias = {{3, 2.0F}},
                         .seed = static_cast<std::uint64_t>(i)});
  };
  EngineHarness harness({.num_pages = 100, .step_token_budget = 40});
  for (std::int32_t i = 0; i < 8; ++i) harness.submit(static_cast<SequenceId>(i), request(i));
  harness.run();
  for (std::int32_t i = 0; i < 8; ++i)
    EXPECT_EQ(harness.answers[static_cast<SequenceId>(i)].tokens, answer_alone(request(i))) << i;
}

TEST(Engine, reports_logprobs_only_to_those_who_ask) {
  EngineHarness harness({.num_pages = 100});
  harness.submit(1, make_request({1}, 1));
  harness.submit(2,
                 make_request({1}, 1, {.temperature = 0.0F, .seed = 0, .logprobs = true, .top_logprobs = 3}));
  for (SequenceEvent& event : harness.engine->step()) {
    EXPECT_EQ(event.event.logprob.has_value(), event.id == 2);
    EXPECT_EQ(event.event.top_logprobs.size(), event.id == 2 ? 3U : 0U);
    if (event.id == 2) {
      EXPECT_EQ(event.event.top_logprobs[0].token, event.event.token);
      EXPECT_EQ(event.event.top_logprobs[0].logprob, *event.event.logprob);
      EXPECT_LT(*event.event.logprob, 0.0F);
    }
  }
}

TEST(Engine, cancelling_frees_the_pages_at_once_and_touches_no_one_else) {
  EngineHarness harness({.num_pages = 20});
  harness.submit(1, make_request(make_prompt(100, 1), 30));
  harness.submit(2, make_request(make_prompt(100, 2), 30));
  harness.step();
  EXPECT_EQ(harness.engine->stats().pages_used, 8);
  harness.engine->cancel(1);
  EXPECT_EQ(harness.engine->stats().pages_used, 4);
  EXPECT_TRUE(harness.engine->check_integrity().ok());
  harness.engine->cancel(1);    // again: nothing
  harness.engine->cancel(999);  // unknown: nothing
  harness.run();
  EXPECT_EQ(harness.answers[1].tokens.size(), 1U);
  EXPECT_EQ(harness.answers[2].tokens, answer_alone(make_request(make_prompt(100, 2), 30)));
  EXPECT_EQ(harness.engine->stats().requests_cancelled, 1U);
}

TEST(Engine, preempts_the_newest_when_pages_run_out_and_loses_nothing) {
  // Two sequences of 3 pages each at their end, 4 pages in all.
  EngineHarness harness({.num_pages = 4});
  harness.submit(1, make_request(make_prompt(30, 1), 60));
  harness.submit(2, make_request(make_prompt(30, 2), 60));
  harness.run();
  EXPECT_EQ(harness.answers[1].tokens, answer_alone(make_request(make_prompt(30, 1), 60)));
  EXPECT_EQ(harness.answers[2].tokens, answer_alone(make_request(make_prompt(30, 2), 60)));
  EXPECT_LT(harness.answers[1].last_token_step, harness.answers[2].last_token_step);
  const EngineStats stats = harness.engine->stats();
  EXPECT_EQ(stats.preemptions, 1U);
  // Of its 2 pages, one was taken by the other sequence; what the other held was still there.
  EXPECT_EQ(stats.recomputed_tokens, 32U);
  EXPECT_EQ(stats.prompt_tokens, 60U);
}

TEST(Engine, admits_only_who_has_room_and_never_out_of_turn) {
  EngineHarness harness({.num_pages = 5});
  harness.submit(1, make_request(make_prompt(70, 1), 10));  // 3 pages
  harness.submit(2, make_request(make_prompt(90, 2), 10));  // 3 pages: must wait
  harness.submit(3, make_request(make_prompt(5, 3), 3));    // 1 page, but not its turn
  harness.step();
  EXPECT_EQ(harness.engine->stats().running, 1);
  EXPECT_EQ(harness.engine->stats().waiting, 2);
  harness.run();
  EXPECT_LT(harness.answers[1].first_token_step, harness.answers[2].first_token_step);
  EXPECT_LE(harness.answers[2].first_token_step, harness.answers[3].first_token_step);
  EXPECT_EQ(harness.engine->stats().preemptions, 0U);
}

TEST(Engine, refuses_what_can_never_fit_with_both_numbers) {
  EngineHarness harness({.num_pages = 4});
  const auto fits = harness.engine->submit(1, make_request(make_prompt(100, 1), 29));  // 128 tokens of K/V
  EXPECT_TRUE(fits.ok());
  const auto refused = harness.engine->submit(2, make_request(make_prompt(100, 1), 30));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kTooLarge);
  EXPECT_NE(refused.error().message.find("129 tokens"), std::string::npos) << refused.error().message;
  EXPECT_NE(refused.error().message.find("holds 128"), std::string::npos) << refused.error().message;
  harness.answers[1];
  harness.run();
  EXPECT_EQ(harness.answers[1].tokens.size(), 29U);
}

TEST(Engine, runs_no_more_sequences_than_allowed) {
  EngineHarness harness({.num_pages = 100, .max_running = 3});
  for (SequenceId id = 0; id < 10; ++id)
    harness.submit(id, make_request(make_prompt(8, static_cast<std::int32_t>(id)), 5));
  harness.run();
  for (const auto& step : harness.steps) EXPECT_LE(step.chunks.size(), 3U);
  EXPECT_EQ(harness.engine->stats().max_batch_sequences, 3);
}

TEST(Engine, a_backend_error_ends_the_steps_requests_and_the_engine_goes_on) {
  for (const bool at_collect : {false, true}) {
    int countdown = 3;
    FakeBackend::Options backend;
    const auto fail_once = [&countdown]() -> Result<void> {
      if (--countdown == 0) return Error(ErrorKind::kInternal, "a kernel failed");
      return {};
    };
    backend.on_submit = [&, at_collect](const StepBatch&) {
      return at_collect ? Result<void>() : fail_once();
    };
    backend.on_collect = [&, at_collect] { return at_collect ? fail_once() : Result<void>(); };
    EngineHarness harness({.num_pages = 20, .max_running = 2}, backend);
    for (SequenceId id = 1; id <= 3; ++id)
      harness.submit(id, make_request(make_prompt(8, static_cast<std::int32_t>(id)), 5));
    harness.run();
    for (SequenceId id = 1; id <= 2; ++id) {
      EXPECT_EQ(harness.answers[id].tokens.size(), 2U);
      ASSERT_TRUE(harness.answers[id].error);
      EXPECT_EQ(harness.answers[id].error->message, "a kernel failed");
    }
    EXPECT_EQ(harness.answers[3].finish, FinishReason::kLength);
    EXPECT_EQ(harness.engine->stats().requests_failed, 2U);
  }
}

TEST(Engine, a_lost_device_ends_all_requests_and_refuses_new_ones) {
  FakeBackend::Options backend;
  backend.on_submit = [](const StepBatch&) -> Result<void> {
    return Error(ErrorKind::kUnavailable, "the device is gone");
  };
  EngineHarness harness({.num_pages = 20, .max_running = 1}, backend);
  for (SequenceId id = 1; id <= 3; ++id) harness.submit(id, make_request(make_prompt(8, 1), 5));
  harness.run();
  EXPECT_EQ(harness.num_steps, 1U);
  for (SequenceId id = 1; id <= 3; ++id) EXPECT_EQ(harness.answers[id].error->kind, ErrorKind::kUnavailable);
  EXPECT_EQ(harness.engine->submit(4, make_request({1}, 1)).error().kind, ErrorKind::kUnavailable);
}

TEST(Engine, options_below_one_and_failed_allocation_are_errors) {
  const auto kind = [](const EngineOptions& options, std::int32_t max_pages = 100) {
    FakeBackend::Options backend;
    backend.max_pages = max_pages;
    return Engine::create(std::make_unique<FakeBackend>(backend), options).error().kind;
  };
  EXPECT_EQ(kind({.num_pages = 0}), ErrorKind::kInvalidArgument);
  EXPECT_EQ(kind({.num_pages = 1, .max_running = 0}), ErrorKind::kInvalidArgument);
  EXPECT_EQ(kind({.num_pages = 1, .step_token_budget = 0}), ErrorKind::kInvalidArgument);
  EXPECT_EQ(kind({.num_pages = 200}), ErrorKind::kOutOfMemory);
}

TEST(Engine, measures_how_long_requests_waited) {
  EngineHarness harness({.num_pages = 20, .max_running = 1});
  harness.submit(1, make_request({1}, 1));
  harness.submit(2, make_request({1}, 1));
  harness.step();
  harness.clock.advance(std::chrono::milliseconds(1500));
  harness.run();
  const EngineStats stats = harness.engine->stats();
  EXPECT_DOUBLE_EQ(stats.queue_seconds_histogram.sum, 1.5);
  const auto& counts = stats.queue_seconds_histogram.counts;
  EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), std::uint64_t{0}), 2U);
  EXPECT_EQ(stats.batch_sequences_histogram.counts[0], 2U);
}

TEST(Engine, a_steady_step_allocates_nothing) {
  if (!testing::counts_allocations()) GTEST_SKIP() << "the sanitizer owns the allocator";
  EngineHarness harness({.num_pages = 200}, {.on_submit = [](const StepBatch&) { return Result<void>(); }});
  for (SequenceId id = 0; id < 8; ++id)
    harness.submit(id, make_request(make_prompt(40, static_cast<std::int32_t>(id)), 300,
                                    {.temperature = 1.0F, .top_p = 0.9F, .seed = id}));
  for (int i = 0; i < 20; ++i) harness.engine->step();
  const std::uint64_t before = testing::num_allocations();
  for (int i = 0; i < 200; ++i) harness.engine->step();
  EXPECT_EQ(testing::num_allocations() - before, 0U);
}

}  // namespace
}  // namespace mlxd
