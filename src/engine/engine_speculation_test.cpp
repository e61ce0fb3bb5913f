// What guessing ahead promises: answers as without it, in fewer steps.
#include <gtest/gtest.h>

#include <memory>
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
using testing::repeating_model;
using testing::whole_answer_alone;
using Method = SpeculationOptions::Method;

// A model that never lapses from what it said six tokens ago.
FakeBackend::Options parrot() { return repeating_model(6, 1000, 100.0F); }

EngineOptions looking_up(std::int32_t num_pages, std::int32_t fixed_drafts) {
  EngineOptions options{.num_pages = num_pages};
  options.speculation = {.method = Method::kPromptLookup, .fixed_drafts = fixed_drafts};
  return options;
}

EngineOptions drafting(std::int32_t num_pages, std::int32_t fixed_drafts, const FakeBackend::Options& model) {
  EngineOptions options{.num_pages = num_pages};
  options.speculation = {.method = Method::kDraftModel,
                         .load_draft_backend = [model]() -> Result<std::unique_ptr<Backend>> {
                           return std::unique_ptr<Backend>(std::make_unique<FakeBackend>(model));
                         },
                         .fixed_drafts = fixed_drafts};
  return options;
}

void expect_equal(const EngineHarness::Answer& answer, const EngineHarness::Answer& alone) {
  ASSERT_FALSE(answer.error) << answer.error->message;
  EXPECT_EQ(answer.tokens, alone.tokens);
  EXPECT_EQ(answer.finish, alone.finish);
  EXPECT_EQ(answer.logprobs, alone.logprobs);
  ASSERT_EQ(answer.top_logprobs.size(), alone.top_logprobs.size());
  for (std::size_t i = 0; i < alone.top_logprobs.size(); ++i) {
    EXPECT_EQ(answer.top_logprobs[i].token, alone.top_logprobs[i].token);
    EXPECT_EQ(answer.top_logprobs[i].logprob, alone.top_logprobs[i].logprob);
  }
}

TEST(EngineSpeculation, text_that_repeats_itself_takes_few_steps) {
  const auto request = make_request({1, 2, 3, 4, 5, 6, 1, 2, 3}, 60);
  EngineHarness harness(looking_up(8, 9), parrot());
  harness.submit(1, request);
  harness.run();
  expect_equal(harness.answers.at(1), whole_answer_alone(request, parrot()));
  // One for the prompt, then ten tokens a step.
  EXPECT_LE(harness.num_steps, 8U);
  const EngineStats stats = harness.engine->stats();
  EXPECT_EQ(stats.generated_tokens, 60U);
  EXPECT_GE(stats.accepted_tokens, 50U);
  EXPECT_LE(stats.accepted_tokens, stats.drafted_tokens);
}

TEST(EngineSpeculation, without_it_or_without_a_match_no_row_is_added) {
  for (const bool on : {false, true}) {
    EngineOptions options{.num_pages = 8};
    if (on) options = looking_up(8, 15);
    EngineHarness harness(options);
    harness.submit(1, make_request({1, 2, 3, 4, 5, 6, 7}, 1));
    harness.submit(2, make_request({11, 12, 13, 14}, 2));
    harness.run();
    EXPECT_EQ(harness.engine->stats().drafted_tokens, 0U);
    for (const auto& step : harness.steps) EXPECT_LE(step.tokens, 11);
  }
}

TEST(EngineSpeculation, answers_end_inside_a_run_of_right_guesses_as_without) {
  for (const std::int32_t max_tokens : {1, 2, 7, 8, 9, 23}) {
    const auto request = make_request({1, 2, 3, 4, 5, 6, 1, 2, 3}, max_tokens);
    EngineHarness harness(looking_up(8, 15), parrot());
    harness.submit(1, request);
    harness.run();
    EXPECT_EQ(harness.answers.at(1).finish, FinishReason::kLength);
    EXPECT_EQ(std::ssize(harness.answers.at(1).tokens), max_tokens);
    expect_equal(harness.answers.at(1), whole_answer_alone(request, parrot()));
  }
  const auto request = make_request({1, 2, 3, 4, 5, 6, 1, 2, 3}, 60, {.temperature = 0.0F, .seed = 0}, {6});
  EngineHarness harness(looking_up(8, 15), parrot());
  harness.submit(1, request);
  harness.run();
  EXPECT_EQ(harness.answers.at(1).tokens, (std::vector<TokenId>{4, 5, 6}));
  EXPECT_EQ(harness.answers.at(1).finish, FinishReason::kStop);
}

TEST(EngineSpeculation, draws_penalties_bias_and_logprobs_are_those_of_each_token) {
  std::int32_t accepted = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SamplingParams sampling{.temperature = seed % 4 == 0 ? 0.0F : 0.4F * static_cast<float>(seed % 4)};
    sampling.seed = seed;
    if (seed % 3 == 0) sampling.frequency_penalty = 0.7F;
    if (seed % 5 == 0) sampling.presence_penalty = 1.1F;
    if (seed % 7 == 0) sampling.repetition_penalty = 1.3F;
    if (seed % 2 == 0) sampling.top_p = 0.9F;
    if (seed % 11 == 0) sampling.logit_bias = {{.token = 3, .bias = 2.0F}};
    sampling.logprobs = true;
    sampling.top_logprobs = static_cast<std::int32_t>(seed % 3);
    const auto request = make_request({1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6, 1}, 80, sampling);
    const FakeBackend::Options model = repeating_model(6, 17, 7.0F);
    EngineHarness harness(looking_up(8, static_cast<std::int32_t>(1 + seed % 15)), model);
    harness.submit(1, request);
    harness.run();
    expect_equal(harness.answers.at(1), whole_answer_alone(request, model));
    accepted += static_cast<std::int32_t>(harness.engine->stats().accepted_tokens);
  }
  EXPECT_GT(accepted, 200);
}

TEST(EngineSpeculation, wrong_guesses_reach_neither_the_cache_nor_another_request) {
  // Guesses run beyond the end of each page again and again, and are mostly wrong.
  const FakeBackend::Options model = repeating_model(6, 3, 100.0F);
  EngineHarness harness(looking_up(12, 15), model);
  const auto first = make_request({1, 2, 3, 4, 5, 6, 1, 2, 3}, 150);
  harness.submit(1, first);
  harness.run();
  EXPECT_GT(harness.engine->stats().drafted_tokens, harness.engine->stats().accepted_tokens);
  // The next turn begins with all of it, from the cache.
  std::vector<TokenId> next = first.prompt();
  const auto& said = harness.answers.at(1).tokens;
  next.insert(next.end(), said.begin(), said.end());
  next.push_back(50);
  const auto second = make_request(next, 40);
  harness.submit(2, second);
  harness.run();
  EXPECT_GE(harness.answers.at(2).cached_tokens(), 150);
  expect_equal(harness.answers.at(1), whole_answer_alone(first, model));
  expect_equal(harness.answers.at(2), whole_answer_alone(second, model));
}

TEST(EngineSpeculation, guesses_take_no_page_that_others_need) {
  // Three that fill the pool: with guesses as without, nobody is displaced.
  EngineHarness harness(looking_up(9, 15), parrot());
  for (SequenceId id = 1; id <= 3; ++id)
    harness.submit(id, make_request({static_cast<TokenId>(10 * id), 2, 3, 4, 5, 6, 1, 2, 3, 4, 5}, 80));
  harness.run();
  EXPECT_EQ(harness.engine->stats().preemptions, 0U);
  EXPECT_GT(harness.engine->stats().accepted_tokens, 100U);
}

TEST(EngineSpeculation, prompts_keep_moving_beside_guesses) {
  EngineOptions options = looking_up(40, 15);
  options.step_token_budget = 20;
  EngineHarness harness(options, parrot());
  harness.submit(1, make_request({1, 2, 3, 4, 5, 6, 1, 2, 3}, 400));
  for (int i = 0; i < 3; ++i) harness.step();
  harness.submit(2, make_request(make_prompt(160, 3), 5));
  const std::uint64_t submitted = harness.num_steps;
  harness.run();
  EXPECT_LE(harness.answers.at(2).first_token_step - submitted, 30U);
  EXPECT_EQ(harness.answers.at(2).tokens, answer_alone(make_request(make_prompt(160, 3), 5), parrot()));
}

TEST(EngineSpeculation, a_predicted_text_is_looked_up_too) {
  // What comes is in nobody's prompt, but it was predicted.
  FakeBackend::Options model;
  model.script = [](std::span<const TokenId> prefix) {
    return static_cast<TokenId>((prefix.size() * 7) % 90);
  };
  std::vector<TokenId> predicted;
  for (std::size_t i = 4; i < 60; ++i) predicted.push_back(static_cast<TokenId>((i * 7) % 90));
  predicted[30] = 96;
  GenerationRequest::Fields fields;
  fields.prediction = predicted;
  const auto request = make_request({1, 2, 3, 4}, 50, {.temperature = 0.0F, .seed = 0}, {}, fields);
  EngineHarness harness(looking_up(8, 8), model);
  harness.submit(1, request);
  harness.run();
  expect_equal(harness.answers.at(1), whole_answer_alone(make_request({1, 2, 3, 4}, 50), model));
  EXPECT_LE(harness.num_steps, 16U);
  EXPECT_GE(harness.answers.at(1).num_predicted, 35);
  EXPECT_GE(harness.answers.at(1).num_mispredicted, 1);
}

TEST(EngineSpeculation, adapts_to_what_rows_cost) {
  const auto steps_of = [](std::chrono::microseconds row) {
    EngineHarness harness(looking_up(16, 0), parrot());
    harness.step_time = [row](const StepBatch& batch) {
      return Duration(std::chrono::milliseconds(3) +
                      row * (static_cast<std::int64_t>(batch.tokens.size()) - 1));
    };
    harness.submit(1, make_request({1, 2, 3, 4, 5, 6, 1, 2, 3}, 400));
    harness.run();
    return harness.num_steps;
  };
  EXPECT_LT(steps_of(std::chrono::microseconds(50)), 100U);
  EXPECT_GT(steps_of(std::chrono::microseconds(9000)), 340U);
}

TEST(EngineSpeculation, a_steady_step_allocates_nothing) {
  if (!testing::counts_allocations()) GTEST_SKIP() << "the sanitizer owns the allocator";
  FakeBackend::Options model = parrot();
  model.on_submit = [](const StepBatch&) { return Result<void>(); };
  EngineHarness harness(looking_up(200, 3), model);
  for (SequenceId id = 0; id < 8; ++id)
    harness.submit(id, make_request(make_prompt(40, static_cast<std::int32_t>(id)), 300,
                                    {.temperature = 1.0F, .seed = id}));
  for (int i = 0; i < 20; ++i) harness.engine->step();
  const std::uint64_t before = testing::num_allocations();
  const std::uint64_t accepted = harness.engine->stats().accepted_tokens;
  for (int i = 0; i < 40; ++i) harness.engine->step();
  EXPECT_EQ(testing::num_allocations() - before, 0U);
  EXPECT_GT(harness.engine->stats().accepted_tokens, accepted + 500);
}

TEST(EngineSpeculation, a_draft_model_that_knows_the_text_saves_steps) {
  FakeBackend::Options model;  // says what nobody could look up
  EngineHarness harness(drafting(16, 5, model), model);
  std::vector<GenerationRequest> requests;
  for (SequenceId id = 1; id <= 3; ++id) {
    requests.push_back(make_request(make_prompt(20 * static_cast<std::int32_t>(id), 3), 60,
                                    {.temperature = id == 2 ? 0.8F : 0.0F, .seed = id, .logprobs = true}));
    harness.submit(id, requests.back());
  }
  harness.run();
  EXPECT_LE(harness.num_steps, 16U);
  for (SequenceId id = 1; id <= 3; ++id)
    expect_equal(harness.answers.at(id), whole_answer_alone(requests[id - 1], model));
  // The same model with the same draws is always right.
  EXPECT_EQ(harness.engine->stats().accepted_tokens, harness.engine->stats().drafted_tokens);
}

TEST(EngineSpeculation, a_draft_model_that_errs_changes_nothing) {
  FakeBackend::Options model = repeating_model(5, 4, 6.0F);
  FakeBackend::Options small = model;
  small.windows = {24};
  small.model_seed = 9;
  EngineOptions options = drafting(10, 4, small);
  EngineHarness harness(options, model);
  std::vector<GenerationRequest> requests;
  for (SequenceId id = 1; id <= 6; ++id) {
    requests.push_back(make_request(make_prompt(30, static_cast<std::int32_t>(id)), 60,
                                    {.temperature = 0.7F, .frequency_penalty = 0.3F, .seed = id}));
    harness.submit(id, requests.back());
  }
  harness.run();
  const EngineStats stats = harness.engine->stats();
  EXPECT_GT(stats.accepted_tokens, 0U);
  EXPECT_GT(stats.drafted_tokens, stats.accepted_tokens);
  EXPECT_GT(stats.preemptions, 0U);
  for (SequenceId id = 1; id <= 6; ++id)
    expect_equal(harness.answers.at(id), whole_answer_alone(requests[id - 1], model));
}

TEST(EngineSpeculation, a_draft_model_reads_long_prompts_in_pieces) {
  FakeBackend::Options model;
  EngineHarness harness(drafting(40, 4, model), model);
  const auto request = make_request(make_prompt(700, 2), 60);
  harness.submit(1, request);
  harness.run();
  expect_equal(harness.answers.at(1), whole_answer_alone(request, model));
  EXPECT_GT(harness.engine->stats().accepted_tokens, 30U);
}

TEST(EngineSpeculation, goes_on_without_a_draft_model_that_fails) {
  FakeBackend::Options model;
  FakeBackend::Options broken;
  int steps = 0;
  broken.on_submit = [&steps](const StepBatch&) -> Result<void> {
    if (++steps < 12) return {};
    return Error(ErrorKind::kUnavailable, "the device is gone");
  };
  EngineHarness harness(drafting(16, 3, broken), model);
  const auto request = make_request(make_prompt(20, 2), 60);
  harness.submit(1, request);
  harness.run();
  EXPECT_EQ(steps, 12);
  expect_equal(harness.answers.at(1), whole_answer_alone(request, model));
}

TEST(EngineSpeculation, a_draft_model_reads_again_after_a_resize) {
  FakeBackend::Options model;
  EngineHarness harness(drafting(16, 3, model), model);
  const auto request = make_request(make_prompt(40, 2), 90);
  harness.submit(1, request);
  for (int i = 0; i < 6; ++i) harness.step();
  ASSERT_TRUE(harness.engine->resize(8).ok());
  for (int i = 0; i < 6; ++i) harness.step();
  ASSERT_TRUE(harness.engine->resize(24).ok());
  harness.run();
  expect_equal(harness.answers.at(1), whole_answer_alone(request, model));
  EXPECT_EQ(harness.engine->stats().accepted_tokens, harness.engine->stats().drafted_tokens);
}

}  // namespace
}  // namespace mlxd
