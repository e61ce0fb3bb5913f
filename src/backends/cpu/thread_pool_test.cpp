#include "backends/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <vector>

namespace mlxd {
namespace {

TEST(ThreadPool, RunsATaskOnceOnEveryThread) {
  for (const std::int32_t threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.num_threads(), threads);
    for (int round = 0; round < 50; ++round) {
      std::vector<int> calls(static_cast<std::size_t>(threads));
      pool.run([&](std::int32_t thread) { ++calls[static_cast<std::size_t>(thread)]; });
      EXPECT_EQ(calls, std::vector<int>(static_cast<std::size_t>(threads), 1));
    }
  }
}

TEST(ThreadPool, HandsOutEveryItemOnce) {
  for (const std::int32_t threads : {1, 2, 3, 7}) {
    ThreadPool pool(threads);
    for (const std::int64_t items : {0, 1, 2, 5, 64, 1000}) {
      for (const std::int64_t grain : {1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> counts(static_cast<std::size_t>(items));
        pool.parallel_for(items, grain, [&](std::int64_t begin, std::int64_t end, std::int32_t thread) {
          EXPECT_GE(thread, 0);
          EXPECT_LT(thread, threads);
          EXPECT_LT(begin, end);
          EXPECT_LE(end - begin, grain);
          for (std::int64_t i = begin; i < end; ++i) ++counts[static_cast<std::size_t>(i)];
        });
        for (std::int64_t i = 0; i < items; ++i) {
          EXPECT_EQ(counts[static_cast<std::size_t>(i)], 1)
              << items << " items, grain " << grain << ", item " << i;
        }
      }
    }
  }
}

TEST(ThreadPool, ABarrierPublishesWhatAllThreadsWroteBefore) {
  constexpr std::int32_t kThreads = 3;
  constexpr std::size_t kItems = 97;
  ThreadPool pool(kThreads);
  std::vector<int> first(kItems);
  std::vector<int> second(kItems);
  pool.run([&](std::int32_t thread) {
    for (int stage = 1; stage <= 200; ++stage) {
      pool.share(thread, kItems, 4, [&](std::int64_t begin, std::int64_t end, std::int32_t) {
        for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
          first[i] = second[kItems - 1 - i] + 1;
        }
      });
      pool.barrier();
      pool.share(thread, kItems, 2, [&](std::int64_t begin, std::int64_t end, std::int32_t) {
        for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
          second[i] = first[kItems - 1 - i];
        }
      });
      pool.barrier();
    }
  });
  EXPECT_EQ(second, std::vector<int>(kItems, 200));
}

TEST(ThreadPool, LoopsWithoutABarrierBetweenThemLoseNothing) {
  constexpr std::int32_t kThreads = 4;
  constexpr int kLoops = 3000;
  ThreadPool pool(kThreads);
  std::atomic<std::int64_t> sum{0};
  pool.run([&](std::int32_t thread) {
    for (int loop = 0; loop < kLoops; ++loop) {
      pool.share(thread, 5, 1, [&](std::int64_t begin, std::int64_t, std::int32_t) { sum += begin; });
    }
  });
  EXPECT_EQ(sum, kLoops * (0 + 1 + 2 + 3 + 4));
}

TEST(ThreadPool, CountsAtLeastOneCore) { EXPECT_GE(num_physical_cores(), 1); }

}  // namespace
}  // namespace mlxd
