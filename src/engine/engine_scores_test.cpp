// Scores of a prompt's tokens: what generation would have said of them, however the prompt is computed.
#include <gtest/gtest.h>

#include <chrono>
#include <limits>
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
using testing::whole_answer_alone;

constexpr std::int32_t kTop = 3;

GenerationRequest scored(const std::vector<TokenId>& prompt, std::int32_t max_tokens,
                         PromptScoring scoring = PromptScoring::kWithAnswer,
                         GenerationRequest::Fields fields = {}) {
  fields.prompt_scoring = scoring;
  return make_request(prompt, max_tokens,
                      {.temperature = 0.0F, .seed = 0, .logprobs = true, .top_logprobs = kTop}, {},
                      std::move(fields));
}

PromptScores scores_alone(const GenerationRequest& request, const FakeBackend::Options& backend = {}) {
  return *whole_answer_alone(request, backend).scores;
}

/// What generation says of each token of the prompt when it is made to choose it.
PromptScores scores_by_generation(const std::vector<TokenId>& prompt) {
  PromptScores scores;
  for (std::size_t i = 1; i < prompt.size(); ++i) {
    const SamplingParams choosing{.temperature = 0.0F,
                                  .logit_bias = {{prompt[i], 100.0F}},
                                  .seed = 0,
                                  .logprobs = true,
                                  .top_logprobs = kTop};
    const auto begin = prompt.begin();
    const EngineHarness::Answer answer =
        whole_answer_alone(make_request({begin, begin + static_cast<std::ptrdiff_t>(i)}, 1, choosing));
    EXPECT_EQ(answer.tokens, std::vector<TokenId>{prompt[i]});
    scores.push_back({answer.logprobs.at(0), answer.top_logprobs});
  }
  return scores;
}

/// Rows of a batch that score.
std::size_t num_score_rows(const StepBatch& batch) {
  std::size_t count = 0;
  for (const SampleRow& row : batch.samples) count += row.spec.scored != kNoToken ? 1 : 0;
  return count;
}

TEST(EngineScores, are_what_generation_says_of_the_same_tokens) {
  const auto prompt = make_prompt(45, 1);
  const EngineHarness::Answer answer = whole_answer_alone(scored(prompt, 5));
  EXPECT_EQ(*answer.scores, scores_by_generation(prompt));
  EXPECT_EQ(answer.tokens, answer_alone(make_request(prompt, 5)));
  // Said by the answer, then by scoring it.
  auto both = prompt;
  both.insert(both.end(), answer.tokens.begin(), answer.tokens.end());
  const PromptScores again = scores_alone(scored(both, 1));
  ASSERT_EQ(again.size(), both.size() - 1);
  for (std::size_t i = 0; i < answer.tokens.size(); ++i)
    EXPECT_EQ(again[prompt.size() - 1 + i].logprob, answer.logprobs[i]);
}

TEST(EngineScores, do_not_depend_on_how_the_prompt_is_cut_nor_on_who_runs_beside_it) {
  const auto prompt = make_prompt(131, 2);
  for (const std::vector<std::int32_t>& windows :
       {std::vector<std::int32_t>{0}, {0, 40}, {0, FakeBackend::kState}}) {
    FakeBackend::Options backend;
    backend.windows = windows;
    const PromptScores alone = scores_alone(scored(prompt, 4), backend);
    for (const std::int32_t budget : {1, 2, 31, 32, 33, 130, 131, 400}) {
      EngineHarness harness({.num_pages = 60, .step_token_budget = budget}, backend);
      harness.submit(1, make_request(make_prompt(20, 3), 60));
      for (int i = 0; i < 25; ++i) harness.step();
      harness.submit(2, scored(prompt, 4));
      harness.submit(3, scored(make_prompt(70, 4), 4));
      harness.run();
      EXPECT_EQ(*harness.answers[2].scores, alone) << "in chunks of " << budget;
      EXPECT_EQ(*harness.answers[3].scores, scores_alone(scored(make_prompt(70, 4), 4), backend));
      EXPECT_EQ(harness.answers[2].tokens, answer_alone(make_request(prompt, 4), backend));
      EXPECT_EQ(harness.answers[1].tokens, answer_alone(make_request(make_prompt(20, 3), 60), backend));
    }
  }
}

TEST(EngineScores, are_the_same_bits_through_layers) {
  constexpr std::int32_t kLayers = 12;
  FakeBackend::Options backend;
  backend.num_layers = kLayers;
  EngineHarness harness({.num_pages = 100, .max_running = 8, .step_token_budget = 400}, backend);
  harness.step_time = [](const StepBatch& batch) {
    return std::chrono::duration_cast<Duration>(
        std::chrono::duration<double>(0.010 + 0.001 * token_work(batch, kLayers)));
  };
  harness.submit(1, make_request(make_prompt(100, 1), 1));
  harness.run();
  harness.submit(2, make_request(make_prompt(3, 2), 300));
  for (int i = 0; i < 4; ++i) harness.step();
  const auto prompt = make_prompt(500, 3);
  harness.submit(3, scored(prompt, 5));
  harness.steps.clear();
  harness.run();
  std::int32_t num_slices = 0;
  for (const EngineHarness::Step& step : harness.steps) num_slices += step.slice.num_sequences;
  EXPECT_GT(num_slices, 12);
  EXPECT_EQ(*harness.answers[3].scores, scores_alone(scored(prompt, 5)));
  EXPECT_EQ(harness.answers[3].tokens, answer_alone(make_request(prompt, 5)));
}

TEST(EngineScores, take_nothing_from_the_cache_and_leave_all_of_it_there) {
  const auto prompt = make_prompt(100, 1);
  const PromptScores alone = scores_alone(scored(prompt, 4));
  EngineHarness harness({.num_pages = 40});
  harness.submit(1, make_request(prompt, 4));
  harness.run();
  GenerationRequest::Fields explained;
  explained.explain_cache = true;
  harness.submit(2, scored(prompt, 4, PromptScoring::kWithAnswer, explained));
  harness.run();
  EXPECT_EQ(harness.answers[2].cached_tokens(), 0);
  EXPECT_EQ(harness.answers[2].cache->outcome, CacheOutcome::kNotUsed);
  EXPECT_EQ(*harness.answers[2].scores, alone);
  harness.submit(3, make_request(prompt, 4));
  harness.run();
  EXPECT_EQ(harness.answers[3].cached_tokens(), 99);
  // At once: the one shares, the other computes.
  const auto other = make_prompt(100, 5);
  harness.submit(4, scored(other, 4));
  harness.submit(5, make_request(other, 4));
  harness.submit(6, scored(other, 4));
  harness.run();
  EXPECT_EQ(harness.answers[4].cached_tokens(), 0);
  EXPECT_EQ(harness.answers[5].cached_tokens(), 99);
  EXPECT_EQ(harness.answers[6].cached_tokens(), 0);
  EXPECT_EQ(*harness.answers[6].scores, *harness.answers[4].scores);
  EXPECT_EQ(harness.answers[5].tokens, harness.answers[4].tokens);
}

TEST(EngineScores, of_who_is_displaced_are_neither_lost_nor_counted_twice) {
  const auto with = [](Priority priority) {
    GenerationRequest::Fields fields;
    fields.priority = priority;
    return fields;
  };
  const auto prompt = make_prompt(200, 1);
  const auto low = scored(prompt, 40, PromptScoring::kWithAnswer, with(Priority::kLow));
  // In the middle of the prompt, before it, and in the middle of the answer.
  for (const int steps_before : {1, 3, 6, 7, 20}) {
    EngineHarness harness({.num_pages = 8, .step_token_budget = 32});
    std::size_t num_rows = 0;
    harness.step_time = [&](const StepBatch& batch) {
      num_rows += num_score_rows(batch);
      return Duration(0);
    };
    harness.submit(1, low);
    for (int i = 0; i < steps_before; ++i) harness.step();
    harness.submit(2,
                   make_request(make_prompt(180, 2), 20, {.temperature = 0.0F}, {}, with(Priority::kHigh)));
    harness.run();
    EXPECT_GE(harness.engine->stats().preemptions, 1U);
    EXPECT_EQ(num_rows, prompt.size() - 1) << steps_before;
    EXPECT_EQ(*harness.answers[1].scores, scores_alone(low));
    EXPECT_EQ(harness.answers[1].tokens, answer_alone(make_request(prompt, 40)));
  }
}

TEST(EngineScores, alone_generate_nothing_and_may_fill_the_cache) {
  const auto prompt = make_prompt(64, 1);
  EngineHarness harness({.num_pages = 2, .step_token_budget = 20});
  EXPECT_FALSE(harness.engine->submit(9, scored(prompt, 2)).ok());
  EXPECT_FALSE(harness.engine->submit(9, scored(make_prompt(65, 1), 0, PromptScoring::kAlone)).ok());
  harness.submit(1, scored(prompt, 0, PromptScoring::kAlone));
  harness.run();
  const EngineHarness::Answer& answer = harness.answers[1];
  EXPECT_TRUE(answer.tokens.empty());
  EXPECT_EQ(answer.finish, FinishReason::kLength);
  EXPECT_EQ(answer.cached_tokens(), 0);
  EXPECT_EQ(*answer.scores, scores_by_generation(prompt));
  EXPECT_EQ(harness.engine->stats().generated_tokens, 0U);
  EXPECT_EQ(harness.engine->stats().requests_finished, 1U);
  // One token has nothing before it.
  harness.submit(2, scored({5}, 0, PromptScoring::kAlone));
  harness.submit(3, scored({5}, 2));
  harness.run();
  EXPECT_EQ(*harness.answers[2].scores, PromptScores());
  EXPECT_EQ(harness.answers[2].finish, FinishReason::kLength);
  EXPECT_EQ(*harness.answers[3].scores, PromptScores());
  EXPECT_EQ(harness.answers[3].tokens, answer_alone(make_request({5}, 2)));
}

TEST(EngineScores, do_not_depend_on_guesses) {
  const auto prompt = make_prompt(60, 1);
  const FakeBackend::Options backend = testing::repeating_model(6, 20, 6.0F);
  EngineOptions options{.num_pages = 20};
  options.speculation = {.method = SpeculationOptions::Method::kPromptLookup, .fixed_drafts = 4};
  EngineHarness harness(options, backend);
  harness.submit(1, make_request({1, 2, 3, 4, 5, 6, 1, 2, 3}, 60));
  for (int i = 0; i < 3; ++i) harness.step();
  harness.submit(2, scored(prompt, 40));
  harness.submit(3, scored(prompt, 0, PromptScoring::kAlone));
  harness.run();
  EXPECT_GT(harness.engine->stats().accepted_tokens, 0U);
  EXPECT_EQ(*harness.answers[2].scores, scores_alone(scored(prompt, 40), backend));
  EXPECT_EQ(*harness.answers[3].scores, *harness.answers[2].scores);
  EXPECT_EQ(harness.answers[2].tokens, answer_alone(make_request(prompt, 40), backend));
}

TEST(EngineScores, say_of_tokens_that_the_model_rules_out_that_it_does) {
  for (const float logit :
       {-std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    FakeBackend::Options backend;
    backend.script = [](std::span<const TokenId> prefix) { return prefix.size() == 2 ? 7 : kNoToken; };
    backend.script_logit = logit;
    const EngineHarness::Answer answer = whole_answer_alone(scored({1, 2, 7, 8}, 1), backend);
    ASSERT_EQ(answer.scores->size(), 3U);
    EXPECT_EQ((*answer.scores)[1].logprob, -std::numeric_limits<float>::infinity());
    EXPECT_GT((*answer.scores)[2].logprob, -20.0F);
    EXPECT_EQ((*answer.scores)[1].top_logprobs.size(), static_cast<std::size_t>(kTop));
  }
}

TEST(EngineScores, of_logits_that_are_no_numbers_end_the_request_and_no_other) {
  FakeBackend::Options backend;
  backend.vocab_size = 1;
  backend.script = [](std::span<const TokenId> prefix) { return prefix.size() == 5 ? 0 : kNoToken; };
  backend.script_logit = std::numeric_limits<float>::quiet_NaN();
  for (const PromptScoring scoring : {PromptScoring::kWithAnswer, PromptScoring::kAlone}) {
    EngineHarness harness({.num_pages = 20, .step_token_budget = 3}, backend);
    harness.submit(1, scored(std::vector<TokenId>(9, 0), 2, scoring));
    harness.submit(2, scored(std::vector<TokenId>(3, 0), 2));
    harness.run();
    ASSERT_TRUE(harness.answers[1].error);
    EXPECT_NE(harness.answers[1].error->message.find("no probability"), std::string::npos);
    EXPECT_TRUE(harness.answers[1].tokens.empty());
    EXPECT_FALSE(harness.answers[2].error);
    EXPECT_EQ(harness.answers[2].tokens, (std::vector<TokenId>{0, 0}));
    EXPECT_EQ(*harness.answers[2].scores, (PromptScores{{0.0F, {{0, 0.0F}}}, {0.0F, {{0, 0.0F}}}}));
  }
}

}  // namespace
}  // namespace mlxd
