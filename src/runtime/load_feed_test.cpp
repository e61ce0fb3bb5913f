#include "runtime/load_feed.h"

#include <gtest/gtest.h>

#include <future>
#include <string>
#include <thread>

namespace mlxd {
namespace {

TEST(LoadFeed, who_comes_late_is_told_everything_before_follow_returns) {
  LoadFeed feed;
  feed.publish(LoadStep::kWaiting);
  std::promise<void> entered, may_leave;
  // Another listener is being told on another thread, and takes its time.
  std::string slow;
  feed.follow([&](const LoadEvent& event) {
    slow += std::string(to_string(event.step)) + " ";
    if (event.step != LoadStep::kReady) return;
    entered.set_value();
    may_leave.get_future().get();
  });
  std::thread loader([&feed] {
    feed.publish(LoadStep::kPreparing);
    feed.publish(LoadStep::kReady);
  });
  entered.get_future().get();
  std::string told;
  const std::uint64_t follower =
      feed.follow([&](const LoadEvent& event) { told += std::string(to_string(event.step)) + " "; });
  EXPECT_EQ(follower, 0U);
  EXPECT_EQ(told, "waiting preparing ready ");
  may_leave.set_value();
  loader.join();
  EXPECT_EQ(slow, told);
}

TEST(LoadFeed, tells_what_came_meanwhile_and_nothing_after_a_stop) {
  LoadFeed feed;
  std::promise<void> entered, may_leave;
  std::string told;
  std::thread::id last_teller;
  const std::uint64_t follower = feed.follow([&](const LoadEvent& event) {
    told += std::string(to_string(event.step)) + " ";
    last_teller = std::this_thread::get_id();
    if (event.step != LoadStep::kWaiting) return;
    entered.set_value();
    may_leave.get_future().get();
  });
  EXPECT_NE(follower, 0U);
  std::thread loader([&feed] { feed.publish(LoadStep::kWaiting); });
  const std::thread::id loading = loader.get_id();
  entered.get_future().get();
  feed.publish(LoadStep::kPreparing);  // does not wait for the listener
  may_leave.set_value();
  loader.join();
  EXPECT_EQ(told, "waiting preparing ");
  EXPECT_EQ(last_teller, loading);
  feed.stop(follower);
  feed.stop(follower);
  feed.publish(LoadStep::kReady);
  EXPECT_EQ(told, "waiting preparing ");
}

}  // namespace
}  // namespace mlxd
