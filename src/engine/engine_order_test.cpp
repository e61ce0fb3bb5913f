// Who goes first, how long a step may take, and when time is up.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "engine/fair_share.h"
#include "engine/testing/engine_harness.h"

namespace mlxd {
namespace {

using testing::EngineHarness;
using testing::make_prompt;
using testing::make_request;

GenerationRequest request_of(Priority priority, ClientId client = 0, std::int32_t salt = 1,
                             std::int32_t max_tokens = 8, std::int32_t prompt_tokens = 20) {
  GenerationRequest::Fields more;
  more.priority = priority;
  more.client = client;
  return make_request(make_prompt(prompt_tokens, salt), max_tokens, {.temperature = 0.0F, .seed = 0}, {},
                      more);
}

std::vector<SequenceId> by_first_token(const EngineHarness& harness) {
  std::vector<SequenceId> ids;
  for (const auto& [id, answer] : harness.answers) ids.push_back(id);
  std::sort(ids.begin(), ids.end(), [&](SequenceId a, SequenceId b) {
    return harness.answers.at(a).first_token_step < harness.answers.at(b).first_token_step;
  });
  return ids;
}

TEST(EngineOrder, better_levels_go_first_and_equal_ones_by_arrival) {
  EngineHarness harness({.num_pages = 20, .max_running = 1});
  harness.submit(1, request_of(Priority::kNormal, 0, 1));
  harness.step();
  harness.submit(2, request_of(Priority::kLow, 0, 2));
  harness.submit(3, request_of(Priority::kNormal, 0, 3));
  harness.submit(4, request_of(Priority::kHigh, 0, 4));
  harness.submit(5, request_of(Priority::kNormal, 0, 5));
  harness.submit(6, request_of(Priority::kHigh, 0, 6));
  harness.run();
  EXPECT_EQ(by_first_token(harness), (std::vector<SequenceId>{1, 4, 6, 3, 5, 2}));
}

TEST(EngineOrder, a_request_rises_a_level_every_ten_seconds) {
  struct Case {
    int waited_ms;
    bool low_first;
  };
  // LOW came first: once it is NORMAL too, it goes first.
  for (const auto& [waited_ms, low_first] : {Case{9999, false}, Case{10000, true}, Case{25000, true}}) {
    EngineHarness harness({.num_pages = 20, .max_running = 1});
    harness.submit(1, request_of(Priority::kHigh, 0, 1));
    harness.step();
    harness.submit(2, request_of(Priority::kLow, 0, 2));
    harness.clock.advance(std::chrono::milliseconds(waited_ms));
    harness.submit(3, request_of(Priority::kNormal, 0, 3));
    harness.run();
    EXPECT_EQ(harness.answers[2].first_token_step < harness.answers[3].first_token_step, low_first)
        << waited_ms;
  }
}

TEST(EngineOrder, a_low_one_gives_way_to_a_high_one_and_loses_nothing) {
  EngineHarness harness({.num_pages = 20, .max_running = 1});
  harness.submit(1, request_of(Priority::kLow, 0, 1, 40));
  for (int i = 0; i < 5; ++i) harness.step();
  harness.submit(2, request_of(Priority::kHigh, 0, 2));
  harness.step();
  EXPECT_EQ(harness.answers[2].tokens.size(), 1U);
  harness.run();
  EXPECT_LT(harness.answers[2].last_token_step, harness.answers[1].last_token_step);
  EXPECT_EQ(harness.answers[1].tokens, testing::answer_alone(request_of(Priority::kLow, 0, 1, 40)));
  EXPECT_EQ(harness.engine->stats().recomputed_tokens, 0U);
}

TEST(EngineOrder, equals_do_not_displace_each_other) {
  EngineHarness harness({.num_pages = 20, .max_running = 1});
  harness.submit(1, request_of(Priority::kHigh, 0, 1, 40));
  harness.step();
  harness.submit(2, request_of(Priority::kHigh, 0, 2));
  harness.run();
  EXPECT_EQ(harness.engine->stats().preemptions, 0U);
  EXPECT_LT(harness.answers[1].last_token_step, harness.answers[2].first_token_step);
}

TEST(EngineOrder, a_client_with_many_requests_leaves_its_share_to_one_with_few) {
  EngineHarness harness({.num_pages = 60, .max_running = 2});
  for (SequenceId id = 1; id <= 20; ++id)
    harness.submit(id, request_of(Priority::kNormal, 7, static_cast<std::int32_t>(id)));
  for (int i = 0; i < 4; ++i) harness.step();
  harness.submit(100, request_of(Priority::kNormal, 8, 100));
  harness.submit(101, request_of(Priority::kNormal, 8, 101));
  harness.run();
  const auto order = by_first_token(harness);
  const auto place = [&](SequenceId id) { return std::find(order.begin(), order.end(), id) - order.begin(); };
  EXPECT_LE(place(100), 5);
  EXPECT_LE(place(101), 7);
}

TEST(EngineOrder, a_short_prompt_does_not_wait_for_a_long_one) {
  EngineHarness harness({.num_pages = 300, .step_token_budget = 128});
  harness.submit(1, request_of(Priority::kNormal, 0, 1, 4, 6000));
  harness.step();
  harness.submit(2, request_of(Priority::kNormal, 0, 2, 4, 50));
  harness.step();
  EXPECT_EQ(harness.answers[2].tokens.size(), 1U);
  // Nor does the long one starve while short ones keep coming.
  SequenceId id = 2;
  while (harness.answers[1].tokens.empty()) {
    ++id;
    harness.submit(id, request_of(Priority::kNormal, 0, static_cast<std::int32_t>(id), 1, 100));
    harness.step();
    ASSERT_LT(harness.num_steps, 110U);
  }
}

TEST(EngineOrder, ends_what_is_not_finished_in_time) {
  EngineHarness harness({.num_pages = 60, .max_running = 1});
  const auto with_deadline = [&](std::int32_t salt, int seconds) {
    GenerationRequest::Fields more;
    more.deadline = harness.clock.now() + std::chrono::seconds(seconds);
    return make_request(make_prompt(20, salt), 30, {.temperature = 0.0F, .seed = 0}, {}, more);
  };
  harness.submit(1, with_deadline(1, 10));
  harness.submit(2, with_deadline(2, 5));    // will have waited only
  harness.submit(3, with_deadline(3, 100));  // in time
  harness.step();
  harness.clock.advance(std::chrono::seconds(6));
  harness.step();
  ASSERT_TRUE(harness.answers[2].error);
  EXPECT_EQ(harness.answers[2].error->kind, ErrorKind::kTimeout);
  EXPECT_FALSE(harness.answers[1].ended());
  harness.clock.advance(std::chrono::seconds(4));
  harness.step();
  ASSERT_TRUE(harness.answers[1].error);
  EXPECT_EQ(harness.answers[1].tokens.size(), 2U);
  EXPECT_EQ(harness.engine->stats().requests_expired, 2U);
  harness.run();
  EXPECT_EQ(harness.answers[3].tokens.size(), 30U);
}

TEST(EngineOrder, tells_who_waits_where_and_about_how_long) {
  EngineHarness harness({.num_pages = 60, .max_running = 2});
  for (SequenceId id = 1; id <= 2; ++id) harness.submit(id, request_of(Priority::kNormal, 0, 1, 5));
  while (!harness.engine->idle()) {
    harness.clock.advance(std::chrono::seconds(1));
    harness.step();
  }
  for (SequenceId id = 11; id <= 14; ++id)
    harness.submit(id, request_of(Priority::kNormal, 0, static_cast<std::int32_t>(id), 5));
  harness.submit(15, request_of(Priority::kHigh, 0, 15, 5));
  harness.step();
  const auto queue = harness.engine->queue();
  ASSERT_EQ(queue.size(), 3U);
  EXPECT_EQ(queue[0].id, 12U);  // 15 and 11 run
  EXPECT_EQ(queue[2].id, 14U);
  EXPECT_EQ(queue[2].position, 2);
  // Requests took four seconds from start to end, and two run at once.
  EXPECT_NEAR(queue[0].expected_seconds, 2.0, 0.6);
  EXPECT_NEAR(queue[2].expected_seconds, 3 * queue[0].expected_seconds, 1e-9);
  EXPECT_GT(harness.engine->stats().expected_wait_seconds, queue[2].expected_seconds);
  harness.run();
  EXPECT_EQ(harness.engine->stats().expected_wait_seconds, 0.0);
}

TEST(FairShare, starts_newcomers_level_with_the_least_served) {
  FairShare shares;
  shares.join(1);
  shares.charge(1, 100, 50);
  EXPECT_EQ(shares.served(1), 200U);
  shares.join(2);
  EXPECT_EQ(shares.served(2), 200U);  // no credit for having been away
  shares.charge(2, 10, 0);
  shares.leave(2);
  shares.join(2);
  EXPECT_EQ(shares.served(2), 210U);  // nor forgiveness for leaving
  for (ClientId client = 10; client < 5000; ++client) {
    shares.join(client);
    shares.leave(client);
  }
  EXPECT_EQ(shares.served(1), 200U);
}

}  // namespace
}  // namespace mlxd
