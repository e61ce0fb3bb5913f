#include "server/text_workers.h"

#include <gtest/gtest.h>

#include <future>

#include "http/testing/raw_client.h"
#include "server/testing/scripted_model.h"

namespace mlxd {
namespace {

bool comes(std::promise<void>& promise) {
  return promise.get_future().wait_for(http::testing::kPatience) == std::future_status::ready;
}

TEST(TextWorkers, heavy_jobs_leave_a_thread_to_light_ones_and_all_are_done) {
  testing::Gate gate;
  std::promise<void> light, heavy;
  TextWorkers workers(2, 4);
  ASSERT_TRUE(workers.try_post([&] { gate.pass(); }, TextWorkers::Weight::kHeavy));
  ASSERT_TRUE(workers.try_post(
      [&] {
        gate.pass();
        heavy.set_value();
      },
      TextWorkers::Weight::kHeavy));
  ASSERT_TRUE(workers.try_post([&] { light.set_value(); }));
  EXPECT_TRUE(comes(light));
  gate.open();
  EXPECT_TRUE(comes(heavy));
}

TEST(TextWorkers, one_thread_does_heavy_jobs_too) {
  std::promise<void> heavy;
  TextWorkers workers(1, 1);
  ASSERT_TRUE(workers.try_post([&] { heavy.set_value(); }, TextWorkers::Weight::kHeavy));
  EXPECT_TRUE(comes(heavy));
}

TEST(TextWorkers, refuses_jobs_over_its_queue_and_after_its_end) {
  testing::Gate gate;
  std::promise<void> begun;
  TextWorkers workers(1, 1);
  ASSERT_TRUE(workers.try_post([&] {
    begun.set_value();
    gate.pass();
  }));
  ASSERT_TRUE(comes(begun));
  EXPECT_TRUE(workers.try_post([] {}));
  EXPECT_FALSE(workers.try_post([] {}));
  gate.open();
  workers.stop();
  EXPECT_FALSE(workers.try_post([] {}));
}

}  // namespace
}  // namespace mlxd
