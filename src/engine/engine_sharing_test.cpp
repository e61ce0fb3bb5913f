// What an engine reuses between requests, and that nobody can tell from the answers.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/testing/engine_harness.h"

namespace mlxd {
namespace {

using testing::answer_alone;
using testing::EngineHarness;
using testing::FakeBackend;
using testing::make_prompt;
using testing::make_request;

std::vector<TokenId> join(std::vector<TokenId> a, const std::vector<TokenId>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

GenerationRequest request_of(std::vector<TokenId> prompt, std::int32_t max_tokens,
                             GenerationRequest::Fields more = {}) {
  return make_request(std::move(prompt), max_tokens, {.temperature = 1.0F, .seed = 4}, {}, std::move(more));
}

TEST(EngineSharing, a_prompt_finds_what_an_earlier_one_computed) {
  EngineHarness harness({.num_pages = 50});
  const auto prompt = make_prompt(300, 1);
  harness.submit(1, request_of(prompt, 5));
  harness.run();
  EXPECT_EQ(harness.answers[1].cached_tokens(), 0);
  const auto other = join(std::vector<TokenId>(prompt.begin(), prompt.begin() + 200), make_prompt(50, 9));
  harness.submit(2, request_of(other, 5));
  harness.run();
  EXPECT_EQ(harness.answers[2].cached_tokens(), 200);
  EXPECT_EQ(harness.answers[2].tokens, answer_alone(request_of(other, 5)));
  EXPECT_EQ(harness.engine->stats().prompt_tokens, 300U + 50U);
  EXPECT_EQ(harness.engine->stats().cached_prompt_tokens, 200U);
}

TEST(EngineSharing, the_next_turn_of_a_conversation_computes_only_what_is_new) {
  EngineHarness harness({.num_pages = 50});
  std::vector<TokenId> conversation = make_prompt(75, 1);
  std::int32_t known = 0;
  for (SequenceId turn = 1; turn <= 6; ++turn) {
    harness.submit(turn, request_of(conversation, 41));
    harness.run();
    const EngineHarness::Answer& answer = harness.answers[turn];
    EXPECT_EQ(answer.cached_tokens(), known) << turn;
    EXPECT_EQ(answer.tokens, answer_alone(request_of(conversation, 41))) << turn;
    conversation = join(conversation, answer.tokens);
    known = static_cast<std::int32_t>(conversation.size()) - 1;  // the last token was chosen, never run
    conversation = join(conversation, make_prompt(10, static_cast<std::int32_t>(turn)));
  }
}

TEST(EngineSharing, equal_prompts_at_once_are_computed_once) {
  EngineHarness harness({.num_pages = 60, .step_token_budget = 64});
  const auto prompt = make_prompt(150, 3);
  for (SequenceId id = 0; id < 8; ++id)
    harness.submit(id, make_request(prompt, 20, {.temperature = 1.0F, .seed = id}));
  harness.run();
  EXPECT_EQ(harness.engine->stats().prompt_tokens, 150U + 7U);  // the last one of each chooses its next
  EXPECT_EQ(harness.engine->stats().max_batch_sequences, 8);
  for (SequenceId id = 0; id < 8; ++id) {
    EXPECT_EQ(harness.answers[id].cached_tokens(), id == 0 ? 0 : 149);
    EXPECT_EQ(harness.answers[id].tokens,
              answer_alone(make_request(prompt, 20, {.temperature = 1.0F, .seed = id})));
  }
}

TEST(EngineSharing, others_may_go_before_one_that_waits_for_a_prefix) {
  EngineHarness harness({.num_pages = 60, .step_token_budget = 32});
  const auto prompt = make_prompt(300, 3);
  harness.submit(1, request_of(prompt, 5));
  harness.step();
  harness.submit(2, request_of(join(prompt, {1, 2}), 5));
  harness.submit(3, request_of(make_prompt(10, 5), 5));
  harness.run();
  EXPECT_LT(harness.answers[3].first_token_step, harness.answers[1].first_token_step);
  EXPECT_EQ(harness.answers[2].cached_tokens(), 300);
}

TEST(EngineSharing, whom_a_prefix_is_being_computed_for_may_leave) {
  EngineHarness harness({.num_pages = 60, .step_token_budget = 32});
  const auto prompt = make_prompt(300, 3);
  harness.submit(1, request_of(prompt, 5));
  harness.submit(2, request_of(prompt, 5));
  for (int i = 0; i < 3; ++i) harness.step();
  harness.engine->cancel(1);
  harness.run();
  EXPECT_EQ(harness.answers[2].cached_tokens(), 96);
  EXPECT_EQ(harness.answers[2].tokens, answer_alone(request_of(prompt, 5)));
}

TEST(EngineSharing, salts_share_nothing) {
  EngineHarness harness({.num_pages = 60});
  const auto prompt = make_prompt(100, 3);
  const auto salted = [&](const std::string& salt) {
    GenerationRequest::Fields more;
    more.cache_salt = salt;
    return request_of(prompt, 5, more);
  };
  SequenceId id = 0;
  const std::vector<std::pair<std::string, std::int32_t>> cases{
      {"", 0}, {"a", 0}, {"b", 0}, {"a", 99}, {"", 99}};
  for (const auto& [salt, cached] : cases) {
    harness.submit(++id, salted(salt));
    harness.run();
    EXPECT_EQ(harness.answers[id].cached_tokens(), cached) << id;
  }
}

TEST(EngineSharing, explains_itself_to_those_who_ask_only) {
  EngineHarness harness({.num_pages = 60});
  const auto prompt = make_prompt(100, 3);
  harness.submit(1, request_of(prompt, 5));
  harness.run();
  EXPECT_FALSE(harness.answers[1].cache->explained);
  GenerationRequest::Fields more;
  more.explain_cache = true;
  harness.submit(
      2, request_of(join(std::vector<TokenId>(prompt.begin(), prompt.begin() + 50), {96, 95}), 5, more));
  harness.run();
  const CacheReport& report = *harness.answers[2].cache;
  EXPECT_TRUE(report.explained);
  EXPECT_EQ(report.outcome, CacheOutcome::kDiverged);
  EXPECT_EQ(report.position, 50);
  EXPECT_EQ(report.cached_tokens, 50);
  EXPECT_EQ(report.cached_continuation, std::vector<TokenId>(prompt.begin() + 50, prompt.begin() + 64));
}

TEST(EngineSharing, what_was_preempted_is_found_again) {
  EngineHarness harness({.num_pages = 12});
  harness.submit(1, request_of(make_prompt(100, 1), 150));
  harness.submit(2, request_of(make_prompt(100, 2), 150));
  harness.run();
  const EngineStats stats = harness.engine->stats();
  EXPECT_GT(stats.preemptions, 0U);
  EXPECT_LT(stats.recomputed_tokens, 150U);
  for (SequenceId id = 1; id <= 2; ++id)
    EXPECT_EQ(harness.answers[id].tokens,
              answer_alone(request_of(make_prompt(100, static_cast<std::int32_t>(id)), 150)));
}

// Each request keeps repeating a secret of its own; a page mixed up would make it tell another's.
TEST(EngineSharing, no_secret_leaks_between_64_at_once) {
  FakeBackend::Options backend;
  backend.vocab_size = 2000;
  backend.script = [](std::span<const TokenId> prefix) -> TokenId {
    // The secret follows a common beginning of 40 tokens and is 5 tokens long.
    return prefix.size() < 45 ? 0 : prefix[40 + (prefix.size() - 45) % 5];
  };
  EngineHarness harness({.num_pages = 120, .step_token_budget = 100}, backend);
  for (SequenceId id = 0; id < 64; ++id) {
    std::vector<TokenId> prompt(40, 1);
    for (TokenId i = 0; i < 5; ++i) prompt.push_back(100 + static_cast<TokenId>(id) * 10 + i);
    GenerationRequest::Fields fields;
    fields.prompt = prompt;
    fields.sampling = {.temperature = 0.0F, .seed = 0};
    fields.max_tokens = 60;
    harness.submit(
        id, GenerationRequest::create(fields, {.vocab_size = 2000, .context_tokens = 1000}).take_value());
  }
  harness.run();
  EXPECT_GT(harness.engine->stats().preemptions, 0U);
  for (SequenceId id = 0; id < 64; ++id) {
    const auto& tokens = harness.answers[id].tokens;
    ASSERT_EQ(tokens.size(), 60U);
    for (std::size_t i = 0; i < tokens.size(); ++i)
      ASSERT_EQ(tokens[i], 100 + static_cast<TokenId>(id) * 10 + static_cast<TokenId>(i % 5))
          << id << " at " << i;
  }
}

TEST(EngineSharing, memory_can_shrink_and_grow_under_way) {
  EngineHarness harness({.num_pages = 40});
  for (SequenceId id = 1; id <= 6; ++id)
    harness.submit(id, request_of(make_prompt(60, static_cast<std::int32_t>(id)), 100));
  for (int i = 0; i < 20; ++i) harness.step();
  ASSERT_TRUE(harness.engine->resize(12).ok());
  EXPECT_EQ(harness.engine->stats().pages_total, 12);
  ASSERT_TRUE(harness.engine->check_integrity().ok());
  for (int i = 0; i < 20; ++i) harness.step();
  ASSERT_TRUE(harness.engine->resize(60).ok());
  harness.run();
  for (SequenceId id = 1; id <= 6; ++id)
    EXPECT_EQ(harness.answers[id].tokens,
              answer_alone(request_of(make_prompt(60, static_cast<std::int32_t>(id)), 100)));
}

TEST(EngineSharing, what_can_never_fit_a_smaller_memory_ends_with_the_reason) {
  EngineHarness harness({.num_pages = 40});
  harness.submit(1, request_of(make_prompt(60, 1), 500));
  harness.submit(2, request_of(make_prompt(60, 2), 20));
  harness.step();
  ASSERT_TRUE(harness.engine->resize(5).ok());
  EXPECT_FALSE(harness.engine->idle());
  harness.run();
  ASSERT_TRUE(harness.answers[1].error);
  EXPECT_EQ(harness.answers[1].error->kind, ErrorKind::kOutOfMemory);
  EXPECT_EQ(harness.answers[2].tokens, answer_alone(request_of(make_prompt(60, 2), 20)));
  EXPECT_EQ(harness.engine->resize(0).error().kind, ErrorKind::kInvalidArgument);
  // Who has left by then is not told.
  harness.submit(3, request_of(make_prompt(60, 3), 90));
  ASSERT_TRUE(harness.engine->resize(3).ok());
  EXPECT_FALSE(harness.engine->idle());
  harness.engine->cancel(3);
  EXPECT_TRUE(harness.engine->idle());
  EXPECT_FALSE(harness.answers[3].ended());
}

TEST(EngineSharing, a_memory_that_the_system_refuses_changes_nothing) {
  FakeBackend::Options backend;
  backend.max_pages = 50;
  backend.windows = {0, 40};
  EngineHarness harness({.num_pages = 40}, backend);
  EXPECT_EQ(harness.engine->resize(51).error().kind, ErrorKind::kOutOfMemory);
  EXPECT_EQ(harness.engine->num_pages(), 40);
  harness.submit(1, request_of(make_prompt(60, 1), 50));
  harness.run();
  EXPECT_EQ(harness.answers[1].tokens.size(), 50U);
}

TEST(EngineSharing, a_failed_copy_ends_whoever_runs) {
  class Faulty : public FakeBackend {
   public:
    using FakeBackend::FakeBackend;
    Result<void> copy_pages(std::size_t, std::span<const PageCopy>) override {
      return Error(ErrorKind::kInternal, "the copy failed");
    }
  };
  auto engine =
      Engine::create(std::make_unique<Faulty>(FakeBackend::Options()), {.num_pages = 20}).take_value();
  ASSERT_TRUE(engine->submit(1, request_of(make_prompt(20, 1), 2)).ok());
  while (!engine->idle()) engine->step();
  ASSERT_TRUE(engine->submit(2, request_of(make_prompt(20, 1), 2)).ok());
  const auto events = engine->step();
  ASSERT_EQ(events.size(), 1U);
  ASSERT_TRUE(events[0].event.error);
  EXPECT_EQ(events[0].event.error->message, "the copy failed");
  EXPECT_TRUE(engine->idle());
  EXPECT_TRUE(engine->check_integrity().ok());
}

TEST(EngineSharing, a_window_keeps_long_sequences_in_few_pages) {
  FakeBackend::Options backend;
  backend.windows = {100};
  EngineHarness harness({.num_pages = 4000, .step_token_budget = 64}, backend);
  harness.submit(1, request_of(make_prompt(32000, 1), 500));
  std::int32_t most = 0;
  while (!harness.engine->idle()) {
    harness.step();
    most = std::max(most, harness.engine->stats().pages_used);
  }
  EXPECT_LE(most, 7);
  EXPECT_EQ(harness.answers[1].tokens.size(), 500U);
}

}  // namespace
}  // namespace mlxd
