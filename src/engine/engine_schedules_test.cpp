// Random lives of an engine: whatever joins, leaves, waits or is displaced, every request gets the tokens it
// has alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "engine/testing/engine_harness.h"

namespace mlxd {
namespace {

using testing::answer_alone;
using testing::EngineHarness;
using testing::FakeBackend;
using testing::make_request;

#if defined(NDEBUG) && !defined(MLXD_SANITIZED)
constexpr std::uint32_t kNumSchedules = 3000;
#else
constexpr std::uint32_t kNumSchedules = 500;
#endif

class Schedule {
 public:
  explicit Schedule(std::uint32_t seed) : random_(seed) {}

  std::int32_t between(std::int32_t low, std::int32_t high) {
    return std::uniform_int_distribution<std::int32_t>(low, high)(random_);
  }
  bool chance(double p) { return std::uniform_real_distribution<double>(0.0, 1.0)(random_) < p; }

  /// `before`: what the prompt begins with, as far as it goes.
  GenerationRequest request(std::int32_t most_tokens, const std::vector<TokenId>& before = {}) {
    const std::int32_t prompt_tokens = between(1, std::max(1, most_tokens * 2 / 3));
    std::vector<TokenId> prompt;
    // Mostly zeros, so that prefixes agree between requests for some pages.
    const double variety = chance(0.5) ? 0.02 : 0.5;
    for (std::int32_t i = 0; i < prompt_tokens; ++i) prompt.push_back(chance(variety) ? between(1, 2) : 0);
    std::copy_n(before.begin(), std::min(before.size(), prompt.size()), prompt.begin());
    SamplingParams sampling;
    sampling.temperature = chance(0.4) ? 0.0F : 1.0F;
    sampling.seed = static_cast<std::uint64_t>(between(0, 1000000));
    if (chance(0.3)) sampling.top_k = between(1, 20);
    if (chance(0.3)) sampling.top_p = 0.8F;
    if (chance(0.2)) sampling.frequency_penalty = 1.5F;
    if (chance(0.2)) sampling.repetition_penalty = 1.2F;
    sampling.logprobs = chance(0.3);
    if (sampling.logprobs) sampling.top_logprobs = between(0, 3);
    std::vector<TokenId> stops;
    if (chance(0.3)) stops = {between(0, 96), between(0, 96)};
    const std::int32_t max_tokens = between(1, std::min(70, most_tokens - prompt_tokens + 1));
    GenerationRequest::Fields more;
    more.priority = static_cast<Priority>(chance(0.5) ? 1 : between(0, 2));
    more.client = static_cast<ClientId>(between(0, 2));
    more.cache_salt = chance(0.8) ? "" : "apart";
    more.explain_cache = chance(0.2);
    if (chance(0.1)) more.prediction = prompt;
    if (chance(0.15)) more.prompt_scoring = chance(0.5) ? PromptScoring::kWithAnswer : PromptScoring::kAlone;
    return make_request(std::move(prompt), max_tokens, sampling, stops, std::move(more));
  }

 private:
  std::mt19937 random_;
};

struct Totals {
  std::uint64_t preemptions = 0;
  std::uint64_t cached_tokens = 0;
  std::uint64_t evictions = 0;
  std::uint64_t resizes = 0;
  std::uint64_t drafted_tokens = 0;
  std::uint64_t accepted_tokens = 0;
  std::uint64_t sliced_steps = 0;
  std::uint64_t scored_requests = 0;
};

/// Adds a group of states to some groups with K/V, or takes it alone.
void add_states(Schedule& schedule, FakeBackend::Options& backend) {
  if (schedule.chance(0.2)) {
    backend.windows = {FakeBackend::kState};
  } else {
    const auto place = schedule.between(0, static_cast<std::int32_t>(std::ssize(backend.windows)));
    backend.windows.insert(backend.windows.begin() + place, FakeBackend::kState);
  }
  // Left behind at every boundary, or at every second, third, …
  backend.state_page_bytes = static_cast<std::size_t>(schedule.chance(0.4) ? 1 : schedule.between(1, 10000));
}

void run_schedule(std::uint32_t seed, bool has_states, Totals& totals) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  Schedule schedule(seed);
  EngineOptions options;
  options.num_pages = schedule.between(1, 14);
  options.step_token_budget = schedule.between(1, schedule.chance(0.5) ? 20 : 200);
  options.max_running = schedule.between(1, 12);
  options.share_prefixes = schedule.chance(0.9);
  FakeBackend::Options backend;
  if (schedule.chance(0.5))
    backend = testing::repeating_model(static_cast<std::size_t>(schedule.between(1, 12)),
                                       static_cast<std::size_t>(schedule.between(2, 30)),
                                       schedule.chance(0.5) ? 100.0F : 6.0F);
  if (schedule.chance(0.7)) options.speculation.method = SpeculationOptions::Method::kPromptLookup;
  if (schedule.chance(0.7)) options.speculation.fixed_drafts = schedule.between(1, 15);
  if (schedule.chance(0.3)) backend.windows = {schedule.between(2, 100)};
  if (schedule.chance(0.3)) backend.windows.push_back(schedule.between(2, 100));
  if (schedule.chance(0.2)) backend.windows.insert(backend.windows.begin(), 0);
  if (schedule.chance(0.5)) backend.num_layers = schedule.between(2, 40);
  if (has_states) add_states(schedule, backend);
  EngineHarness harness(options, backend);
  const std::chrono::microseconds row_time(schedule.between(0, 30));
  harness.step_time = [row_time, &backend](const StepBatch& batch) {
    return Duration(
        std::chrono::microseconds(100) +
        std::chrono::duration_cast<Duration>(row_time * testing::token_work(batch, backend.num_layers)));
  };
  std::int32_t num_pages = options.num_pages;
  const std::int32_t num_requests = schedule.between(1, 14);
  std::map<SequenceId, GenerationRequest> requests;
  std::map<SequenceId, bool> cancelled;
  std::int64_t work = 0;
  const bool cancels = schedule.chance(0.5);
  while (std::ssize(requests) < num_requests || !harness.engine->idle()) {
    while (std::ssize(requests) < num_requests && (harness.engine->idle() || schedule.chance(0.2))) {
      const SequenceId id = requests.size() + 1;
      std::vector<TokenId> before;
      if (has_states && !requests.empty() && schedule.chance(0.5)) {
        // The next turn of a conversation.
        const auto id_before =
            static_cast<SequenceId>(schedule.between(1, static_cast<std::int32_t>(requests.size())));
        before = requests.at(id_before).prompt();
        const std::vector<TokenId>& answer = harness.answers[id_before].tokens;
        before.insert(before.end(), answer.begin(), answer.end());
      }
      GenerationRequest request = schedule.request(num_pages * kPageTokens, before);
      work += std::ssize(request.prompt()) + request.max_tokens();
      requests.emplace(id, request);
      ASSERT_NO_FATAL_FAILURE(harness.submit(id, std::move(request)));
    }
    if (cancels && schedule.chance(0.05)) {
      const auto id =
          static_cast<SequenceId>(schedule.between(1, static_cast<std::int32_t>(requests.size())));
      if (!harness.answers[id].ended()) cancelled[id] = true;
      harness.engine->cancel(id);
      ASSERT_TRUE(harness.engine->check_integrity().ok());
    }
    if (schedule.chance(0.03)) {
      // Never below what those who run or wait need.
      std::int32_t least = 1;
      for (const auto& [id, request] : requests) {
        if (harness.answers[id].ended() || cancelled[id]) continue;
        least = std::max(
            least, pages_for_tokens(std::ssize(request.prompt()) + std::max(request.max_tokens() - 1, 0)));
      }
      num_pages = schedule.between(least, least + 10);
      ASSERT_TRUE(harness.engine->resize(num_pages).ok());
      ASSERT_TRUE(harness.engine->check_integrity().ok());
      ++totals.resizes;
    }
    if (schedule.chance(0.1)) harness.clock.advance(std::chrono::seconds(schedule.between(1, 12)));
    if (harness.engine->idle()) continue;
    ASSERT_NO_FATAL_FAILURE(harness.step());
    totals.sliced_steps += harness.steps.back().slice.num_sequences > 0 ? 1 : 0;
    ASSERT_LE(harness.steps.back().tokens, options.step_token_budget);
    ASSERT_LE(std::ssize(harness.steps.back().chunks), options.max_running);
  }
  EXPECT_EQ(harness.engine->stats().pages_used, 0);
  EXPECT_EQ(harness.engine->stats().states_used, 0);

  // Preempted work is done again, but nobody spins: every step computes something that counts.
  const EngineStats stats = harness.engine->stats();
  totals.preemptions += stats.preemptions;
  totals.cached_tokens += stats.cached_prompt_tokens;
  totals.evictions += stats.prefix_evictions;
  totals.drafted_tokens += stats.drafted_tokens;
  totals.accepted_tokens += stats.accepted_tokens;
  EXPECT_LE(harness.num_steps, static_cast<std::uint64_t>(work) + stats.recomputed_tokens);

  for (const auto& [id, request] : requests) {
    const EngineHarness::Answer& answer = harness.answers.at(id);
    const EngineHarness::Answer whole = testing::whole_answer_alone(request, backend);
    const std::vector<TokenId>& alone = whole.tokens;
    if (cancelled[id]) {
      ASSERT_LE(answer.tokens.size(), alone.size());
      ASSERT_TRUE(std::equal(answer.tokens.begin(), answer.tokens.end(), alone.begin())) << "request " << id;
    } else {
      ASSERT_FALSE(answer.error) << answer.error->message;
      ASSERT_TRUE(answer.finish) << "request " << id;
      ASSERT_EQ(answer.tokens, alone) << "request " << id;
      ASSERT_EQ(answer.finish, whole.finish) << "request " << id;
      ASSERT_EQ(answer.scores != nullptr, request.scores_prompt()) << "request " << id;
      if (request.scores_prompt()) {
        ASSERT_EQ(std::ssize(*answer.scores), std::ssize(request.prompt()) - 1) << "request " << id;
        ASSERT_EQ(*answer.scores, *whole.scores) << "request " << id;
        ++totals.scored_requests;
      }
      ASSERT_EQ(answer.logprobs, whole.logprobs) << "request " << id;
      ASSERT_EQ(answer.top_logprobs.size(), whole.top_logprobs.size()) << "request " << id;
      for (std::size_t i = 0; i < whole.top_logprobs.size(); ++i) {
        ASSERT_EQ(answer.top_logprobs[i].token, whole.top_logprobs[i].token) << "request " << id;
        ASSERT_EQ(answer.top_logprobs[i].logprob, whole.top_logprobs[i].logprob) << "request " << id;
      }
    }
  }
}

TEST(EngineSchedules, every_request_gets_the_tokens_it_has_alone) {
  Totals totals;
  for (std::uint32_t seed = 1; seed <= kNumSchedules; ++seed)
    ASSERT_NO_FATAL_FAILURE(run_schedule(seed, false, totals));
  // The schedules are tight enough to mean something.
  EXPECT_GT(totals.preemptions, kNumSchedules / 5);
  EXPECT_GT(totals.cached_tokens, kNumSchedules * 20);
  EXPECT_GT(totals.evictions, kNumSchedules);
  EXPECT_GT(totals.resizes, kNumSchedules / 5);
  EXPECT_GT(totals.scored_requests, kNumSchedules / 2);
  EXPECT_GT(totals.sliced_steps, kNumSchedules * 2);
  EXPECT_GT(totals.accepted_tokens, kNumSchedules * 15);
  EXPECT_GT(totals.drafted_tokens - totals.accepted_tokens, kNumSchedules * 8);
}

TEST(EngineSchedules, every_request_gets_them_of_models_with_states) {
  Totals totals;
  for (std::uint32_t seed = 1; seed <= kNumSchedules; ++seed)
    ASSERT_NO_FATAL_FAILURE(run_schedule(seed, true, totals));
  EXPECT_GT(totals.preemptions, kNumSchedules / 5);
  EXPECT_GT(totals.cached_tokens, kNumSchedules * 20);
  EXPECT_GT(totals.evictions, kNumSchedules);
  EXPECT_GT(totals.resizes, kNumSchedules / 5);
  EXPECT_GT(totals.sliced_steps, kNumSchedules * 2);
  EXPECT_EQ(totals.drafted_tokens, 0U);
}

// The case that starves in a careless scheduler: a stream of short requests, one long one in the middle, no
// room for all.
TEST(EngineSchedules, a_long_request_is_not_starved_by_short_ones) {
  EngineHarness harness({.num_pages = 8, .max_running = 4, .step_token_budget = 16});
  SequenceId id = 0;
  const SequenceId long_id = 10;
  std::uint64_t submitted_at = 0;
  while (harness.answers.count(long_id) == 0 || !harness.answers[long_id].ended()) {
    while (harness.engine->stats().waiting < 4) {
      ++id;
      if (id == long_id) submitted_at = harness.num_steps;
      const auto salt = static_cast<std::int32_t>(id);
      harness.submit(id, id == long_id ? make_request(testing::make_prompt(150, salt), 100)
                                       : make_request(testing::make_prompt(20, salt), 12));
    }
    ASSERT_NO_FATAL_FAILURE(harness.step());
    ASSERT_LT(harness.num_steps - submitted_at, 400U);
  }
  EXPECT_EQ(harness.answers[long_id].tokens, answer_alone(make_request(testing::make_prompt(150, 10), 100)));
}

}  // namespace
}  // namespace mlxd
