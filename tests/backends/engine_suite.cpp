// What the engine promises over every backend: whatever joins, leaves, waits or is displaced, a request gets
// the answer it has alone. On a backend that promises bits the tokens are the same; on another one a token
// may differ where the choice was close: where logits within the backend's bound lead the sampler to it.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "backend_suite.h"
#include "engine/sampler.h"
#include "engine_run.h"
#include "parity/step_runner.h"

namespace mlxd::testing {
namespace {

GenerationRequest make_request(std::vector<TokenId> prompt, std::int32_t max_tokens,
                               SamplingParams sampling = {.temperature = 0.0F, .seed = 0},
                               std::vector<TokenId> stop_tokens = {}) {
  GenerationRequest::Fields fields;
  fields.prompt = std::move(prompt);
  fields.sampling = std::move(sampling);
  fields.max_tokens = max_tokens;
  fields.stop_tokens = std::move(stop_tokens);
  auto request = GenerationRequest::create(
      std::move(fields), {.vocab_size = kSuiteVocabulary, .context_tokens = kSuiteContextTokens});
  EXPECT_TRUE(request.ok()) << request.error().message;
  return request.take_value();
}

GenerationRequest greedy(std::int32_t prompt_tokens, std::uint32_t salt, std::int32_t max_tokens) {
  return make_request(random_tokens(static_cast<std::size_t>(prompt_tokens), salt), max_tokens);
}

GenerationRequest seeded(std::int32_t prompt_tokens, std::uint32_t salt, std::int32_t max_tokens,
                         std::uint64_t seed) {
  return make_request(random_tokens(static_cast<std::size_t>(prompt_tokens), salt), max_tokens,
                      {.temperature = 1.0F, .top_p = 0.95F, .top_k = 50, .seed = seed});
}

/// Pages for the whole request.
std::int32_t pages_for(const GenerationRequest& request) {
  return pages_for_tokens(std::ssize(request.prompt()) + request.max_tokens());
}

/// Whether logits that differ from `logits` by at most `bound` times the largest lead the sampler to `token`.
/// True only with a witness; the three tried are those that help a token most against the others, against the
/// ids before it in a draw, and against those after it.
bool is_close_call(const SampleSpec& spec, std::span<const float> logits, TokenId token, double bound) {
  float largest = 0.0F;
  for (const float logit : logits) largest = std::max(largest, std::abs(logit));
  const auto shift = static_cast<float>(bound) * largest;
  const auto chosen = static_cast<std::size_t>(token);
  Sampler sampler;
  for (int witness = 0; witness < 3; ++witness) {
    std::vector<float> moved(logits.begin(), logits.end());
    std::vector<TokenLogprob> tops;
    for (std::size_t id = 0; id < moved.size(); ++id) {
      const bool up = witness == 0 ? id == chosen : witness == 1 ? id >= chosen : id <= chosen;
      moved[id] += up ? shift : -shift;
    }
    if (sampler.sample(spec, moved, tops).token == token) return true;
  }
  return false;
}

EngineRun run_with(const EngineOptions& options) {
  return EngineRun(BackendSuite::GetParam().make({}), options);
}

std::vector<TokenId> answer_alone(const GenerationRequest& request) {
  EngineRun run = run_with({.num_pages = pages_for(request)});
  run.submit(1, request);
  run.run();
  return run.answer(1).tokens;
}

/// `tokens` (if `partly`, the beginning) is the answer that the request has alone.
void expect_own_answer(const GenerationRequest& request, const std::vector<TokenId>& tokens,
                       const std::string& what, bool partly = false) {
  const std::vector<TokenId> alone = answer_alone(request);
  const auto [differing, unused] = std::mismatch(tokens.begin(), tokens.end(), alone.begin(), alone.end());
  if (differing == tokens.end() && (partly || tokens.size() == alone.size())) return;
  const auto same = differing - tokens.begin();
  ASSERT_GT(BackendSuite::GetParam().bound, 0.0) << what << " differs at token " << same;
  ASSERT_LT(same, std::ssize(alone)) << what << " is longer than alone";
  ASSERT_LT(same, std::ssize(tokens)) << what << " is shorter than alone";
  // The same prefix led to two tokens: was it close? Afterwards the texts are different ones.
  ScriptedSequence sequence{request.prompt(), pages_from(0, kSuiteContextTokens / kPageTokens)};
  sequence.tokens.insert(sequence.tokens.end(), tokens.begin(), tokens.begin() + same);
  const auto backend = BackendSuite::make(kSuiteContextTokens / kPageTokens);
  const auto logits = run_alone(*backend, sequence, 512, WhichLogits::kLast);
  ASSERT_TRUE(logits.ok()) << logits.error().message;
  const SamplingParams& sampling = request.sampling();
  SampleSpec spec{.temperature = sampling.temperature,
                  .top_p = sampling.top_p,
                  .min_p = sampling.min_p,
                  .top_k = sampling.top_k,
                  .seed = request.seed()};
  spec.position = static_cast<std::int32_t>(sequence.tokens.size());
  EXPECT_TRUE(is_close_call(spec, *logits, *differing, BackendSuite::GetParam().bound))
      << what << " differs at token " << same << ", which was no close call";
}

TEST_P(BackendSuite, RequestsJoinAndLeaveBetweenSteps) {
  const std::vector<GenerationRequest> requests{greedy(40, 1, 30), greedy(3, 2, 5), greedy(70, 3, 20),
                                                seeded(33, 4, 40, 5), greedy(1, 6, 25)};
  EngineRun run = run_with({.num_pages = 40, .step_token_budget = 48});
  for (std::size_t i = 0; i < requests.size(); ++i) {
    run.submit(i, requests[i]);
    for (int steps = 0; steps < 4; ++steps) ASSERT_NO_FATAL_FAILURE(run.step());
  }
  ASSERT_NO_FATAL_FAILURE(run.run());
  EXPECT_GE(run.engine().stats().max_batch_sequences, 3);
  for (std::size_t i = 0; i < requests.size(); ++i)
    expect_own_answer(requests[i], run.answer(i).tokens, "request " + std::to_string(i));
}

TEST_P(BackendSuite, TheStepsBudgetDoesNotShow) {
  const GenerationRequest request = seeded(131, 7, 12, 9);
  for (const std::int32_t budget : {1, 2, 31, 32, 33, 130, 131, 512}) {
    EngineRun run = run_with({.num_pages = pages_for(request), .step_token_budget = budget});
    run.submit(1, request);
    ASSERT_NO_FATAL_FAILURE(run.run());
    expect_own_answer(request, run.answer(1).tokens, "in chunks of " + std::to_string(budget));
  }
}

TEST_P(BackendSuite, CancellingDisturbsNobody) {
  const GenerationRequest kept = greedy(50, 8, 40);
  const GenerationRequest other = seeded(60, 9, 40, 3);
  EngineRun run = run_with({.num_pages = 12, .step_token_budget = 40});
  run.submit(1, other);
  run.submit(2, kept);
  run.submit(3, greedy(90, 10, 40));
  for (int steps = 0; steps < 3; ++steps) ASSERT_NO_FATAL_FAILURE(run.step());
  run.cancel(3);  // in the middle of its prompt
  for (int steps = 0; steps < 7; ++steps) ASSERT_NO_FATAL_FAILURE(run.step());
  run.cancel(1);  // in the middle of its answer
  // Into the pages it leaves.
  const GenerationRequest late = greedy(64, 11, 30);
  run.submit(4, late);
  ASSERT_NO_FATAL_FAILURE(run.run());
  EXPECT_FALSE(run.answer(1).tokens.empty());
  expect_own_answer(other, run.answer(1).tokens, "the cancelled one", true);
  expect_own_answer(kept, run.answer(2).tokens, "the one that stayed");
  expect_own_answer(late, run.answer(4).tokens, "the late one");
}

TEST_P(BackendSuite, PreemptedRequestsResumeWhereTheyWere) {
  std::vector<GenerationRequest> requests;
  for (std::uint32_t i = 0; i < 5; ++i)
    requests.push_back(i % 2 == 0 ? greedy(30, 20 + i, 70) : seeded(45, 20 + i, 50, i));
  EngineRun run = run_with({.num_pages = 7, .step_token_budget = 64});
  for (std::size_t i = 0; i < requests.size(); ++i) run.submit(i, requests[i]);
  ASSERT_NO_FATAL_FAILURE(run.run());
  EXPECT_GT(run.engine().stats().preemptions, 0U);
  for (std::size_t i = 0; i < requests.size(); ++i)
    expect_own_answer(requests[i], run.answer(i).tokens, "request " + std::to_string(i));
}

TEST_P(BackendSuite, TheSeedDecidesADraw) {
  const std::vector<TokenId> first = answer_alone(seeded(20, 30, 30, 77));
  expect_own_answer(seeded(20, 30, 30, 77), first, "again");
  EXPECT_NE(answer_alone(seeded(20, 30, 30, 78)), first);
}

TEST_P(BackendSuite, AnswersEndAtStopTokens) {
  const GenerationRequest request = seeded(20, 31, 40, 5);
  const std::vector<TokenId> alone = answer_alone(request);
  ASSERT_EQ(alone.size(), 40U);
  const TokenId stop = alone[25];
  const auto end = std::find(alone.begin(), alone.end(), stop) + 1;
  EngineRun run = run_with({.num_pages = 8});
  run.submit(1, make_request(request.prompt(), 40, request.sampling(), {stop}));
  ASSERT_NO_FATAL_FAILURE(run.run());
  EXPECT_EQ(run.answer(1).finish, FinishReason::kStop);
  EXPECT_EQ(run.answer(1).tokens, std::vector<TokenId>(alone.begin(), end));
}

TEST_P(BackendSuite, WhatIsFoundInThePrefixCacheAnswersLikeWhatIsComputed) {
  EngineRun run = run_with({.num_pages = 30, .step_token_budget = 64});
  const GenerationRequest first = greedy(75, 40, 20);
  run.submit(1, first);
  ASSERT_NO_FATAL_FAILURE(run.run());
  // The next turn of the conversation, and one that goes another way in the middle of a page.
  std::vector<TokenId> next = first.prompt();
  next.insert(next.end(), run.answer(1).tokens.begin(), run.answer(1).tokens.end());
  std::vector<TokenId> apart(next.begin(), next.begin() + 55);
  const std::vector<TokenId> more = random_tokens(15, 41);
  next.insert(next.end(), more.begin(), more.end());
  apart.insert(apart.end(), more.begin(), more.end());
  const GenerationRequest turn = make_request(next, 20);
  const GenerationRequest other = make_request(apart, 20, {.temperature = 1.0F, .top_k = 50, .seed = 3});
  run.submit(2, turn);
  run.submit(3, other);
  run.submit(4, turn);
  ASSERT_NO_FATAL_FAILURE(run.run());
  EXPECT_GE(run.engine().stats().cached_prompt_tokens, 64U + 32U);
  expect_own_answer(turn, run.answer(2).tokens, "the next turn");
  expect_own_answer(other, run.answer(3).tokens, "the other way");
  expect_own_answer(turn, run.answer(4).tokens, "the next turn again");
}

TEST_P(BackendSuite, ResizingWhileRunningDoesNotShow) {
  std::vector<GenerationRequest> requests;
  for (std::uint32_t i = 0; i < 4; ++i)
    requests.push_back(i % 2 == 0 ? greedy(40, 50 + i, 50) : seeded(60, 50 + i, 40, i));
  EngineRun run = run_with({.num_pages = 10, .step_token_budget = 64});
  for (std::size_t i = 0; i < requests.size(); ++i) run.submit(i, requests[i]);
  for (const std::int32_t num_pages : {24, 16, 5, 12}) {
    for (int steps = 0; steps < 7; ++steps) ASSERT_NO_FATAL_FAILURE(run.step());
    const Result<void> resized = run.engine().resize(num_pages);
    ASSERT_TRUE(resized.ok()) << resized.error().message;
    EXPECT_EQ(run.engine().num_pages(), num_pages);
  }
  ASSERT_NO_FATAL_FAILURE(run.run());
  for (std::size_t i = 0; i < requests.size(); ++i)
    expect_own_answer(requests[i], run.answer(i).tokens, "request " + std::to_string(i));
}

/// The same request with a prediction of its answer that is wrong here and there.
GenerationRequest predicted(const GenerationRequest& request) {
  GenerationRequest::Fields fields;
  fields.prompt = request.prompt();
  fields.sampling = request.sampling();
  fields.max_tokens = request.max_tokens();
  fields.prediction = answer_alone(request);
  for (std::size_t i = 5; i < fields.prediction.size(); i += 9)
    fields.prediction[i] = (fields.prediction[i] + 1) % kSuiteVocabulary;
  auto made = GenerationRequest::create(
      std::move(fields), {.vocab_size = kSuiteVocabulary, .context_tokens = kSuiteContextTokens});
  EXPECT_TRUE(made.ok()) << made.error().message;
  return made.take_value();
}

// Rows at several positions of one sequence in a step: guesses, right and wrong.
TEST_P(BackendSuite, GuessingAheadDoesNotShow) {
  for (const std::int32_t drafts : {1, 4, 15}) {
    const std::vector<GenerationRequest> requests{predicted(greedy(40, 60, 50)),
                                                  predicted(seeded(30, 61, 50, 4)),
                                                  predicted(seeded(33, 62, 40, 5)), seeded(70, 63, 30, 6)};
    EngineOptions options{.num_pages = 24, .step_token_budget = 64};
    options.speculation = {.method = SpeculationOptions::Method::kPromptLookup, .fixed_drafts = drafts};
    EngineRun run = run_with(options);
    for (std::size_t i = 0; i < requests.size(); ++i) run.submit(i, requests[i]);
    ASSERT_NO_FATAL_FAILURE(run.run());
    const EngineStats stats = run.engine().stats();
    EXPECT_GT(stats.accepted_tokens, 30U);
    EXPECT_GT(stats.drafted_tokens, stats.accepted_tokens);
    for (std::size_t i = 0; i < requests.size(); ++i)
      expect_own_answer(requests[i], run.answer(i).tokens, "request " + std::to_string(i));
  }
}

TEST_P(BackendSuite, ADraftModelDoesNotShow) {
  const GenerationRequest first = greedy(70, 64, 50);
  const GenerationRequest second = seeded(20, 65, 60, 8);
  EngineOptions options{.num_pages = 12, .step_token_budget = 64};
  options.speculation = {
      .method = SpeculationOptions::Method::kDraftModel,
      .load_draft_backend = []() -> Result<std::unique_ptr<Backend>> { return GetParam().make({}); },
      .fixed_drafts = 5};
  EngineRun run = run_with(options);
  run.submit(1, first);
  run.submit(2, second);
  ASSERT_NO_FATAL_FAILURE(run.run());
  // It is the model itself, and draws as it draws.
  const EngineStats stats = run.engine().stats();
  EXPECT_GT(stats.drafted_tokens, 40U);
  EXPECT_GT(stats.accepted_tokens, stats.drafted_tokens / 2);
  expect_own_answer(first, run.answer(1).tokens, "the first");
  expect_own_answer(second, run.answer(2).tokens, "the second");
}

/// Log-probabilities that the same rows gave in two ways.
void expect_same_logprobs(std::span<const float> actual, std::span<const float> expected,
                          const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  // Where logits move by so much of the largest, which is far below a hundred.
  const double bound = 200.0 * BackendSuite::GetParam().bound;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (bound > 0.0) {
      ASSERT_NEAR(actual[i], expected[i], bound) << what << " at token " << i;
    } else {
      ASSERT_EQ(actual[i], expected[i]) << what << " at token " << i;
    }
  }
}

GenerationRequest scored(std::vector<TokenId> prompt, std::int32_t max_tokens, PromptScoring scoring,
                         std::int32_t num_alternatives = 2) {
  GenerationRequest::Fields fields;
  fields.prompt = std::move(prompt);
  fields.sampling = {.temperature = 0.0F, .seed = 0, .logprobs = true, .top_logprobs = num_alternatives};
  fields.max_tokens = max_tokens;
  fields.prompt_scoring = scoring;
  auto request = GenerationRequest::create(
      std::move(fields), {.vocab_size = kSuiteVocabulary, .context_tokens = kSuiteContextTokens});
  EXPECT_TRUE(request.ok()) << request.error().message;
  return request.take_value();
}

std::vector<float> logprobs_of(const PromptScores& scores) {
  std::vector<float> logprobs;
  for (const TokenScore& score : scores) logprobs.push_back(score.logprob);
  return logprobs;
}

std::vector<float> scores_alone(const std::vector<TokenId>& prompt) {
  const GenerationRequest request = scored(prompt, 0, PromptScoring::kAlone);
  EngineRun run = run_with({.num_pages = pages_for(request)});
  run.submit(1, request);
  run.run();
  EXPECT_EQ(run.answer(1).finish, FinishReason::kLength);
  EXPECT_TRUE(run.answer(1).tokens.empty());
  return logprobs_of(run.answer(1).scores);
}

TEST_P(BackendSuite, APromptScoresAsItWasGenerated) {
  const std::vector<TokenId> prompt = random_tokens(70, 80);
  EngineRun run = run_with({.num_pages = 8});
  run.submit(1, scored(prompt, 40, PromptScoring::kWithAnswer));
  ASSERT_NO_FATAL_FAILURE(run.run());
  const EngineRun::Answer& said = run.answer(1);
  ASSERT_EQ(said.tokens.size(), 40U);
  std::vector<TokenId> whole = prompt;
  whole.insert(whole.end(), said.tokens.begin(), said.tokens.end());
  const std::vector<float> scores = scores_alone(whole);
  ASSERT_EQ(scores.size(), 109U);
  expect_same_logprobs(std::span(scores).first(69), logprobs_of(said.scores), "the prompt");
  expect_same_logprobs(std::span(scores).subspan(69), said.logprobs, "the answer");
  // Greedy: the chosen token is the likeliest.
  const GenerationRequest again = scored(whole, 1, PromptScoring::kWithAnswer);
  run.submit(2, again);
  ASSERT_NO_FATAL_FAILURE(run.run());
  for (std::size_t i = 69; i < 109; ++i) {
    const TokenScore& score = run.answer(2).scores.at(i);
    ASSERT_EQ(score.top_logprobs.size(), 2U);
    if (GetParam().bound > 0.0) continue;
    EXPECT_EQ(score.top_logprobs[0].token, whole[i + 1]);
    EXPECT_EQ(score.top_logprobs[0].logprob, score.logprob);
  }
}

TEST_P(BackendSuite, HowAPromptIsComputedDoesNotShowInItsScores) {
  const std::vector<TokenId> prompt = random_tokens(131, 81);
  const std::vector<float> alone = scores_alone(prompt);
  for (const std::int32_t budget : {1, 7, 32, 33, 130, 512}) {
    const std::string what = "in chunks of " + std::to_string(budget);
    EngineRun run = run_with({.num_pages = 20, .step_token_budget = budget});
    const GenerationRequest other = greedy(30, 82, 50);
    run.submit(1, other);
    for (int steps = 0; steps < 40 / budget + 3; ++steps) ASSERT_NO_FATAL_FAILURE(run.step());
    run.submit(2, scored(prompt, 5, PromptScoring::kWithAnswer));
    run.submit(3, scored(prompt, 0, PromptScoring::kAlone, 0));
    ASSERT_NO_FATAL_FAILURE(run.run());
    expect_same_logprobs(logprobs_of(run.answer(2).scores), alone, what);
    expect_same_logprobs(logprobs_of(run.answer(3).scores), alone, what);
    expect_own_answer(other, run.answer(1).tokens, "the other one");
  }
}

TEST_P(BackendSuite, APromptsScoresOutliveItsDisplacement) {
  const std::vector<TokenId> prompt = random_tokens(150, 83);
  const std::vector<float> alone = scores_alone(prompt);
  for (const int steps_before : {2, 4, 9}) {
    EngineRun run = run_with({.num_pages = 6, .step_token_budget = 32});
    run.submit(1, greedy(20, 84, 60));
    run.submit(2, scored(prompt, 10, PromptScoring::kWithAnswer));
    for (int steps = 0; steps < steps_before; ++steps) ASSERT_NO_FATAL_FAILURE(run.step());
    ASSERT_TRUE(run.engine().resize(5).ok());
    ASSERT_NO_FATAL_FAILURE(run.run());
    EXPECT_GT(run.engine().stats().preemptions, 0U);
    expect_same_logprobs(logprobs_of(run.answer(2).scores), alone, "after " + std::to_string(steps_before));
  }
}

TEST_P(BackendSuite, APromptIsScoredThroughLayersAsAtOnce) {
  const std::vector<TokenId> prompt = random_tokens(300, 85);
  const std::vector<float> alone = scores_alone(prompt);
  std::int32_t num_layers = 0;
  int num_slices = 0;
  EngineRun run(GetParam().make({}), {.num_pages = 40, .max_running = 8}, [&](const StepBatch& batch) {
    double work = 0.0;
    const std::ptrdiff_t num_whole = std::ssize(batch.sequences) - batch.slice.num_sequences;
    for (std::ptrdiff_t i = 0; i < std::ssize(batch.sequences); ++i) {
      const double part =
          i < num_whole ? 1.0 : 1.0 * (batch.slice.last_layer - batch.slice.first_layer) / num_layers;
      work += part * batch.sequences[static_cast<std::size_t>(i)].num_tokens;
    }
    num_slices += batch.slice.num_sequences;
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(0.010 + 0.001 * work));
  });
  num_layers = run.engine().backend().info().num_sliceable_layers;
  // What tokens cost without decodes, and what decodes cost.
  run.submit(1, greedy(100, 86, 1));
  ASSERT_NO_FATAL_FAILURE(run.run());
  const GenerationRequest stream = greedy(3, 87, 150);
  run.submit(2, stream);
  for (int steps = 0; steps < 4; ++steps) ASSERT_NO_FATAL_FAILURE(run.step());
  run.submit(3, scored(prompt, 5, PromptScoring::kWithAnswer));
  ASSERT_NO_FATAL_FAILURE(run.run());
  if (num_layers > 1) {
    EXPECT_GT(num_slices, 2);
  }
  expect_same_logprobs(logprobs_of(run.answer(3).scores), alone, "in slices");
  expect_own_answer(stream, run.answer(2).tokens, "the stream");
}

// Everything at once, as it comes.
TEST_P(BackendSuite, RandomLivesGiveEveryRequestItsOwnAnswer) {
  std::uint64_t preemptions = 0;
  for (std::uint32_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto between = [&](std::int32_t low, std::int32_t high) {
      return low + static_cast<std::int32_t>(random() % static_cast<std::uint32_t>(high - low + 1));
    };
    const EngineOptions options{.num_pages = between(3, 10),
                                .max_running = between(1, 8),
                                .step_token_budget = between(1, 4) == 1 ? between(1, 8) : between(20, 100)};
    EngineRun run = run_with(options);
    const std::size_t num_requests = 8;
    std::vector<GenerationRequest> requests;
    std::vector<bool> cancelled(num_requests);
    while (requests.size() < num_requests || !run.engine().idle()) {
      while (requests.size() < num_requests && (run.engine().idle() || between(1, 6) == 1)) {
        const std::int32_t prompt = between(1, 60);
        const std::int32_t most = between(1, std::min(35, options.num_pages * kPageTokens - prompt));
        const auto salt = static_cast<std::uint32_t>(random());
        requests.push_back(between(0, 1) == 0 ? greedy(prompt, salt, most)
                                              : seeded(prompt, salt, most, salt + 1));
        run.submit(requests.size() - 1, requests.back());
      }
      if (between(1, 25) == 1) {
        const auto id = static_cast<std::size_t>(between(0, static_cast<std::int32_t>(requests.size()) - 1));
        if (!run.answer(id).ended()) {
          cancelled[id] = true;
          run.cancel(id);
        }
      }
      if (run.engine().idle()) continue;
      ASSERT_NO_FATAL_FAILURE(run.step());
    }
    preemptions += run.engine().stats().preemptions;
    for (std::size_t i = 0; i < num_requests; ++i) {
      expect_own_answer(requests[i], run.answer(i).tokens, "request " + std::to_string(i), cancelled[i]);
      ASSERT_FALSE(HasFatalFailure());
    }
  }
  EXPECT_GT(preemptions, 0U);
}

}  // namespace
}  // namespace mlxd::testing
