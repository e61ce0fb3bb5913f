// Requests with adapters in the engine: each has the answer it has alone, and cached text is kept apart.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/testing/engine_harness.h"
#include "model/adapter.h"

namespace mlxd {
namespace {

using testing::EngineHarness;
using testing::FakeBackend;
using testing::make_prompt;
using testing::make_request;

AdapterLeasePtr lease_of(AdapterId id) {
  auto lease = std::make_shared<AdapterLease>();
  lease->id = id;
  return lease;
}

GenerationRequest request_of(std::vector<TokenId> prompt, std::int32_t max_tokens, AdapterId adapter,
                             std::string salt = {}) {
  GenerationRequest::Fields more;
  if (adapter != kNoAdapter) more.adapter = lease_of(adapter);
  more.cache_salt = std::move(salt);
  return make_request(std::move(prompt), max_tokens, {.temperature = 1.0F, .seed = 4}, {}, std::move(more));
}

void attach(EngineHarness& harness, AdapterId id) {
  auto prepared = harness.engine->backend().prepare_adapter(Adapter());
  ASSERT_TRUE(prepared.ok());
  ASSERT_TRUE(harness.engine->attach_adapter(id, prepared.take_value()).ok());
}

std::vector<TokenId> answer_alone(const GenerationRequest& request) {
  EngineHarness harness({.num_pages = pages_for_tokens(std::ssize(request.prompt()) + request.max_tokens()),
                         .share_prefixes = false});
  if (request.adapter() != kNoAdapter) attach(harness, request.adapter());
  harness.submit(1, request);
  harness.run();
  return harness.answers.at(1).tokens;
}

TEST(EngineAdapters, share_steps_and_no_cached_text) {
  EngineHarness harness({.num_pages = 200});
  for (const AdapterId adapter : {1U, 2U}) attach(harness, adapter);
  const auto prompt = make_prompt(100, 3);
  // All at once, then all again: each finds what its own kind computed, the first time nothing.
  const std::vector<AdapterId> kinds{kNoAdapter, 1, 2};
  std::vector<std::vector<TokenId>> alone;
  for (const AdapterId kind : kinds) alone.push_back(answer_alone(request_of(prompt, 20, kind)));
  EXPECT_NE(alone[0], alone[1]);
  EXPECT_NE(alone[1], alone[2]);
  for (const std::int32_t cached : {0, 99}) {
    for (std::size_t i = 0; i < kinds.size(); ++i) harness.submit(i, request_of(prompt, 20, kinds[i]));
    harness.run();
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      EXPECT_EQ(harness.answers[i].cached_tokens(), cached) << kinds[i];
      EXPECT_EQ(harness.answers[i].tokens, alone[i]) << kinds[i];
    }
    harness.answers.clear();
  }
  EXPECT_EQ(harness.engine->stats().max_batch_sequences, 3);
}

TEST(EngineAdapters, no_salt_spells_the_key_of_another_one) {
  EngineHarness harness({.num_pages = 200});
  for (const AdapterId adapter : {1U, 2U}) attach(harness, adapter);
  const auto prompt = make_prompt(100, 3);
  const std::string zero(1, '\0');
  SequenceId id = 0;
  harness.submit(++id, request_of(prompt, 5, 1));
  harness.run();
  for (const std::string& salt :
       {std::string("\1"), "\1" + std::string(7, '\0'), zero, std::string(8, '\0')}) {
    for (const AdapterId adapter : {kNoAdapter, AdapterId{2}}) {
      harness.submit(++id, request_of(prompt, 5, adapter, salt));
      harness.run();
      EXPECT_EQ(harness.answers[id].cached_tokens(), 0) << id;
    }
  }
}

TEST(EngineAdapters, keep_their_answers_when_pages_run_out) {
  EngineHarness harness({.num_pages = 14, .max_running = 8, .step_token_budget = 48});
  for (const AdapterId adapter : {1U, 2U, 3U}) attach(harness, adapter);
  std::vector<GenerationRequest> requests;
  for (std::int32_t i = 0; i < 9; ++i)
    requests.push_back(request_of(make_prompt(40 + 7 * i, i), 60, static_cast<AdapterId>(i % 4)));
  for (std::size_t i = 0; i < requests.size(); ++i) harness.submit(i, requests[i]);
  harness.run();
  EXPECT_GT(harness.engine->stats().preemptions, 0U);
  for (std::size_t i = 0; i < requests.size(); ++i)
    EXPECT_EQ(harness.answers[i].tokens, answer_alone(requests[i])) << i;
}

TEST(EngineAdapters, are_guessed_ahead_like_any_other) {
  FakeBackend::Options backend = testing::repeating_model(7, 5, 6.0F);
  EngineHarness harness(
      {.num_pages = 100,
       .speculation = {.method = SpeculationOptions::Method::kPromptLookup, .fixed_drafts = 4}},
      backend);
  attach(harness, 1);
  EngineHarness plain({.num_pages = 100}, backend);
  attach(plain, 1);
  for (EngineHarness* each : {&harness, &plain}) {
    each->submit(1, request_of(make_prompt(60, 1), 80, 1));
    each->submit(2, request_of(make_prompt(60, 1), 80, kNoAdapter));
    each->run();
  }
  for (const SequenceId id : {1U, 2U}) EXPECT_EQ(harness.answers[id].tokens, plain.answers[id].tokens);
  EXPECT_GT(harness.engine->stats().accepted_tokens, 0U);
}

TEST(EngineAdapters, come_and_go_while_requests_run) {
  EngineHarness harness({.num_pages = 100});
  const auto refused = harness.engine->submit(1, request_of(make_prompt(10, 1), 5, 1));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kUnavailable);
  EXPECT_EQ(refused.error().field, "adapter");

  harness.submit(2, request_of(make_prompt(40, 2), 30, kNoAdapter));
  for (int i = 0; i < 5; ++i) harness.step();
  attach(harness, 1);
  EXPECT_EQ(harness.engine->memory().adapter_bytes, std::size_t{1} << 20U);
  EXPECT_FALSE(harness.engine->attach_adapter(1, nullptr).ok());
  harness.submit(3, request_of(make_prompt(40, 2), 30, 1));
  for (int i = 0; i < 5; ++i) harness.step();
  const auto in_use = harness.engine->detach_adapter(1);
  ASSERT_FALSE(in_use.ok());
  EXPECT_EQ(in_use.error().kind, ErrorKind::kConflict);
  harness.run();
  EXPECT_EQ(harness.answers[2].tokens, answer_alone(request_of(make_prompt(40, 2), 30, kNoAdapter)));
  EXPECT_EQ(harness.answers[3].tokens, answer_alone(request_of(make_prompt(40, 2), 30, 1)));
  EXPECT_TRUE(harness.engine->detach_adapter(1).ok());
  EXPECT_TRUE(harness.engine->detach_adapter(1).ok());  // nothing any more
  EXPECT_EQ(harness.engine->memory().adapter_bytes, 0U);
  EXPECT_FALSE(harness.engine->submit(4, request_of(make_prompt(10, 1), 5, 1)).ok());
}

}  // namespace
}  // namespace mlxd
