// Several threads that share a pool.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "backends/cpu/thread_pool.h"

namespace mlxd {
namespace {

TEST(ThreadPoolTurns, one_at_a_time_computes_and_each_what_it_would_alone) {
  ThreadPool pool(3);
  std::atomic<int> inside{0};
  std::vector<std::thread> owners;
  std::vector<std::int64_t> sums(4);
  for (std::size_t owner = 0; owner < sums.size(); ++owner) {
    owners.emplace_back([&, owner] {
      for (int step = 0; step < 200; ++step) {
        const bool whole_step = step % 2 == 0;
        if (whole_step) pool.take_turn();
        for (int stage = 0; stage < 2; ++stage) {
          std::atomic<std::int64_t> sum{0};
          pool.run([&](std::int32_t thread) {
            if (thread == 0) {
              EXPECT_EQ(inside.fetch_add(1), 0);
            }
            pool.share(thread, 100, 7, [&](std::int64_t begin, std::int64_t end, std::int32_t) {
              for (std::int64_t i = begin; i < end; ++i) sum += i;
            });
            pool.barrier();
            if (thread == 0) --inside;
          });
          sums[owner] += sum;
        }
        if (whole_step) pool.end_turn();
      }
    });
  }
  for (std::thread& owner : owners) owner.join();
  EXPECT_EQ(sums, std::vector<std::int64_t>(4, 200 * 2 * 4950));
}

TEST(ThreadPoolTurns, come_in_the_order_of_asking) {
  ThreadPool pool(1);
  std::vector<int> order;
  std::vector<std::thread> owners;
  std::atomic<int> asking{0};
  pool.take_turn();
  for (int owner = 0; owner < 4; ++owner) {
    owners.emplace_back([&, owner] {
      ++asking;
      pool.take_turn();
      order.push_back(owner);
      pool.end_turn();
    });
    // In line before the next one is: nothing else can be seen of a thread that waits.
    while (asking <= owner || pool.num_waiting() <= owner) std::this_thread::yield();
  }
  pool.end_turn();
  for (std::thread& owner : owners) owner.join();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3}));
}

// Two that always want to go on take turns: neither has two in a row while the other waits.
TEST(ThreadPoolTurns, alternate_under_load) {
  ThreadPool pool(2);
  std::vector<int> order;
  std::vector<std::thread> owners;
  for (int owner = 0; owner < 2; ++owner) {
    owners.emplace_back([&, owner] {
      for (int step = 0; step < 300; ++step) {
        pool.take_turn();
        order.push_back(owner);
        // Until the other waits, or has done all its steps.
        while (pool.num_waiting() == 0 && order.size() < 590) std::this_thread::yield();
        pool.end_turn();
      }
    });
  }
  for (std::thread& owner : owners) owner.join();
  ASSERT_EQ(order.size(), 600U);
  std::size_t alternations = 0;
  for (std::size_t i = 1; i < 580; ++i) alternations += order[i] != order[i - 1] ? 1U : 0U;
  EXPECT_EQ(alternations, 579U);
}

}  // namespace
}  // namespace mlxd
