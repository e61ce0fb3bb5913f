#include "server/key_meter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace mlxd {
namespace {

using std::chrono::seconds;

class KeyMeterTest : public ::testing::Test {
 protected:
  // 0: let in; else the seconds to wait.
  int ask(const ApiKey& key, std::int64_t tokens = 0) {
    KeyMeter::Refusal refusal;
    const auto use = meter_.admit(key, refusal);
    if (use == nullptr) return refusal.retry_after_s;
    use->note(tokens, 0);
    return 0;
  }
  FakeClock clock_;
  KeyMeter meter_{clock_};
};

TEST_F(KeyMeterTest, counts_requests_in_an_exact_minute) {
  const ApiKey key{
      .id = "k", .user_id = "u", .name = "n", .token_hash = "h", .hint = "mlxd-x", .requests_per_minute = 3};
  EXPECT_EQ(ask(key), 0);
  clock_.advance(seconds(20));
  EXPECT_EQ(ask(key), 0);
  EXPECT_EQ(ask(key), 0);
  EXPECT_EQ(ask(key), 40);
  clock_.advance(seconds(39));
  EXPECT_EQ(ask(key), 1);
  clock_.advance(seconds(1));
  EXPECT_EQ(ask(key), 0);
  EXPECT_EQ(ask(key), 20);
}

TEST_F(KeyMeterTest, tokens_of_the_last_minute_and_of_the_month_have_their_ends) {
  ApiKey key{
      .id = "k", .user_id = "u", .name = "n", .token_hash = "h", .hint = "mlxd-x", .tokens_per_minute = 100};
  EXPECT_EQ(ask(key, 60), 0);
  clock_.advance(seconds(30));
  EXPECT_EQ(ask(key, 60), 0);
  EXPECT_EQ(ask(key), 30);
  clock_.advance(seconds(30));
  EXPECT_EQ(ask(key), 0);
  key.tokens_per_minute = 0;
  key.tokens_per_month = 120;
  // The fake clock stands in the first hours of 1970.
  EXPECT_EQ(ask(key), 31 * 24 * 3600 - static_cast<int>(clock_.wall_seconds()));
  clock_.advance(seconds(ask(key)));
  EXPECT_EQ(month_of(clock_.wall_seconds()), 1970 * 12 + 1);
  EXPECT_EQ(ask(key, 5), 0);
  const auto unsaved = meter_.take_unsaved();
  ASSERT_EQ(unsaved.size(), 2U);
  EXPECT_EQ(unsaved[0].month, 1970 * 12);
  EXPECT_EQ(unsaved[0].requests, 3);
  EXPECT_EQ(unsaved[0].prompt_tokens, 120);
  EXPECT_EQ(unsaved[1].prompt_tokens, 5);
  EXPECT_FALSE(meter_.has_unsaved());
  meter_.put_back(unsaved);
  EXPECT_TRUE(meter_.has_unsaved());
}

TEST_F(KeyMeterTest, requests_at_once_free_their_place_when_they_end) {
  const ApiKey key{
      .id = "k", .user_id = "u", .name = "n", .token_hash = "h", .hint = "mlxd-x", .max_concurrent = 2};
  KeyMeter::Refusal refusal;
  auto one = meter_.admit(key, refusal);
  auto two = meter_.admit(key, refusal);
  ASSERT_TRUE(one && two);
  EXPECT_EQ(meter_.admit(key, refusal), nullptr);
  EXPECT_EQ(refusal.error.kind, ErrorKind::kOverloaded);
  EXPECT_THAT(refusal.error.message, ::testing::HasSubstr("may have 2 requests at once"));
  one.reset();
  EXPECT_NE(meter_.admit(key, refusal), nullptr);
}

TEST_F(KeyMeterTest, goes_on_with_what_the_month_has_had) {
  const ApiKey key{
      .id = "k", .user_id = "u", .name = "n", .token_hash = "h", .hint = "mlxd-x", .tokens_per_month = 100};
  meter_.load({{.key_id = "k",
                .month = month_of(clock_.wall_seconds()),
                .prompt_tokens = 90,
                .completion_tokens = 10}});
  EXPECT_GT(ask(key), 0);
}

TEST_F(KeyMeterTest, a_minute_is_one_whatever_the_date_is_set_to) {
  const ApiKey key{.id = "k",
                   .user_id = "u",
                   .name = "n",
                   .token_hash = "h",
                   .hint = "mlxd-x",
                   .requests_per_minute = 2,
                   .tokens_per_minute = 100};
  EXPECT_EQ(ask(key, 60), 0);
  EXPECT_EQ(ask(key, 60), 0);
  constexpr std::int64_t kYear = 366 * 24 * 3600;
  for (const std::int64_t jump : {kYear, -3 * kYear, 2 * kYear, std::int64_t{90}, std::int64_t{-90}}) {
    clock_.jump_wall(jump);
    EXPECT_EQ(ask(key), 60) << jump;
  }
  clock_.advance(seconds(59));
  clock_.jump_wall(-kYear);
  EXPECT_EQ(ask(key), 1);
  clock_.advance(seconds(1));
  EXPECT_EQ(ask(key), 0);
}

TEST_F(KeyMeterTest, a_month_keeps_its_count_when_the_date_is_set_to_another_and_back) {
  const ApiKey key{
      .id = "k", .user_id = "u", .name = "n", .token_hash = "h", .hint = "mlxd-x", .tokens_per_month = 100};
  constexpr std::int64_t kMonth = 31 * 24 * 3600;
  EXPECT_EQ(ask(key, 100), 0);
  EXPECT_GT(ask(key), 0);
  clock_.jump_wall(kMonth);
  EXPECT_EQ(ask(key, 30), 0);
  clock_.jump_wall(-kMonth);
  EXPECT_GT(ask(key), 0);
  clock_.jump_wall(kMonth);
  EXPECT_EQ(ask(key, 70), 0);
  EXPECT_GT(ask(key), 0);
  std::map<std::int64_t, std::int64_t> tokens;
  for (const KeyUsage& each : meter_.take_unsaved()) tokens[each.month] += each.prompt_tokens;
  EXPECT_EQ(tokens, (std::map<std::int64_t, std::int64_t>{{1970 * 12, 100}, {1970 * 12 + 1, 100}}));
}

// As on a machine that knows the date only once it has a network.
TEST_F(KeyMeterTest, knows_what_was_used_in_months_that_the_date_is_set_to_later) {
  const ApiKey key{
      .id = "k", .user_id = "u", .name = "n", .token_hash = "h", .hint = "mlxd-x", .tokens_per_month = 100};
  constexpr std::int64_t kMay2026 = 1'777'600'000;
  meter_.load({{.key_id = "k", .month = month_of(kMay2026), .prompt_tokens = 100},
               {.key_id = "k", .month = month_of(kMay2026) - 1, .prompt_tokens = 500}});
  EXPECT_EQ(ask(key, 1), 0);
  clock_.jump_wall(kMay2026 - clock_.wall_seconds());
  EXPECT_GT(ask(key), 0);
}

}  // namespace
}  // namespace mlxd
