#include "engine/step_profile.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <set>
#include <string_view>
#include <thread>

#include "engine/testing/engine_harness.h"

namespace mlxd {
namespace {

TEST(StepProfile, CountsStepsAndTokensOfAnEngine) {
  StepProfile profile;
  testing::EngineHarness harness({.num_pages = 10, .profile = &profile});
  harness.submit(1, testing::make_request({1, 2, 3}, 5));
  harness.run();
  const StepTotals totals = profile.totals();
  EXPECT_EQ(totals.steps, 5U);
  EXPECT_EQ(totals.tokens, 3U + 4U);  // the last one is told, not run
  EXPECT_GT(totals.of(StepStage::kSchedule).seconds, 0.0);
  EXPECT_GT(totals.of(StepStage::kPublish).seconds, 0.0);
  EXPECT_EQ(totals.of(StepStage::kAttention).seconds, 0.0);  // the fake backend tells nothing
}

TEST(StepProfile, AddsUpToTheTimeOfTheThreadsTogether) {
  StepProfile profile;
  profile.set_num_threads(2);
  const auto start = std::chrono::steady_clock::now();
  profile.begin_step(false);
  profile.lap(StepStage::kSchedule);
  profile.fork(StepStage::kPrepare);
  const auto work = [&](std::int32_t index) {
    profile.lap(index, StepStage::kWait);
    std::atomic<std::int32_t> counter{0};
    for (std::int32_t i = 0; i < 100'000; ++i) counter.fetch_add(1);
    profile.lap(index, StepStage::kDown);
  };
  std::thread other([&] { work(1); });
  work(0);
  other.join();
  profile.join();
  profile.end_step(1);
  const double passed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const StepTotals totals = profile.totals();
  EXPECT_GT(totals.of(StepStage::kDown).seconds, 0.0);
  EXPECT_LE(totals.seconds(), passed);
  // No time of a thread is lost or counted twice: what is missing lies before begin_step and after join.
  EXPECT_GT(totals.seconds(), 0.0);
}

TEST(StepProfile, TakesPausesBetweenStepsForPublishingOnlyIfTheyFollow) {
  StepProfile profile;
  profile.begin_step(false);
  profile.lap(StepStage::kPublish);
  const double before = profile.totals().of(StepStage::kPublish).seconds;
  profile.begin_step(false);
  EXPECT_EQ(profile.totals().of(StepStage::kPublish).seconds, before);
  profile.begin_step(true);
  EXPECT_GT(profile.totals().of(StepStage::kPublish).seconds, before);
}

TEST(StepProfile, SumsWorkAndTakesDifferences) {
  StepProfile profile;
  profile.add_work(StepStage::kQkv, {.bytes = 3.0, .int8_operations = 5.0});
  const StepTotals before = profile.totals();
  profile.add_work(StepStage::kQkv, {.bytes = 4.0, .fp32_operations = 7.0});
  profile.end_step(9);
  StepTotals since = profile.totals();
  since -= before;
  EXPECT_EQ(since.steps, 1U);
  EXPECT_EQ(since.tokens, 9U);
  EXPECT_EQ(since.of(StepStage::kQkv).work.bytes, 4.0);
  EXPECT_EQ(since.of(StepStage::kQkv).work.int8_operations, 0.0);
  EXPECT_EQ(since.of(StepStage::kQkv).work.fp32_operations, 7.0);
  since += before;
  EXPECT_EQ(since.of(StepStage::kQkv).work.bytes, 7.0);
}

TEST(StepProfile, NamesEveryStageDifferently) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kNumStepStages; ++i) names.insert(to_string(static_cast<StepStage>(i)));
  EXPECT_EQ(names.size(), kNumStepStages);
  EXPECT_FALSE(names.contains(""));
}

}  // namespace
}  // namespace mlxd
