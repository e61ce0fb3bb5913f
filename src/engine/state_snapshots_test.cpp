#include "engine/state_snapshots.h"

#include <gtest/gtest.h>

#include <vector>

namespace mlxd {
namespace {

std::vector<PageGroupInfo> groups(std::size_t kv_bytes, std::size_t state_bytes) {
  std::vector<PageGroupInfo> groups;
  if (kv_bytes > 0) groups.push_back({.page_bytes = kv_bytes});
  groups.push_back({.page_bytes = state_bytes, .window_tokens = 2, .is_state = true});
  return groups;
}

constexpr std::size_t kKiB = 1024;
const std::vector<PageGroupInfo> kSmall = groups(384 * kKiB, 160 * kKiB);
const std::vector<PageGroupInfo> kLarge = groups(768 * kKiB, 75 * kKiB * kKiB);

TEST(StateSnapshots, lie_apart_as_far_as_their_size_asks_for) {
  EXPECT_EQ(snapshot_distance(kSmall), 1);
  EXPECT_EQ(snapshot_distance(groups(100, 100)), 1);
  EXPECT_EQ(snapshot_distance(groups(100, 101)), 2);
  EXPECT_EQ(snapshot_distance(groups(100, 700)), 7);
  EXPECT_EQ(snapshot_distance(kLarge), 16);
  EXPECT_EQ(snapshot_distance(groups(0, 700)), 16);
}

TEST(StateSnapshots, pages_follow_from_what_may_run_and_what_is_kept) {
  struct Case {
    std::vector<PageGroupInfo> groups;
    std::int32_t num_pages;
    std::int32_t max_running;
    std::int32_t pages;
  };
  const Case cases[] = {
      {kSmall, 512, 64, 2 * 64 + 512 + 1},  // states are small beside K/V: all that may run
      {kSmall, 4, 64, 2 * 1 + 4 + 1},
      {kLarge, 512, 64, 2 * 16 + 32 + 1},  // one for each 1,024 tokens
      {kLarge, 512, 4, 2 * 4 + 32 + 1},
      {kLarge, 1, 64, 2 * 1 + 1 + 1},
      {kLarge, 1 << 20, 64, 2 * 64 + 65536 + 1},
      {groups(0, 1000), 512, 64, 2 * 16 + 32 + 1},
  };
  for (const Case& c : cases) EXPECT_EQ(state_pages(c.groups, c.num_pages, c.max_running), c.pages);
}

TEST(StateSnapshots, never_fewer_for_more_kv) {
  for (const auto& each : {kSmall, kLarge, groups(0, 50)}) {
    std::int32_t before = 0;
    for (std::int32_t num_pages = 1; num_pages < 5000; ++num_pages) {
      const std::int32_t pages = state_pages(each, num_pages, 64);
      EXPECT_GE(pages, before);
      EXPECT_GE(pages, kStatesPerSequence + 2);
      before = pages;
    }
  }
}

TEST(StateSnapshots, are_wanted_at_the_prompts_end_and_where_prompts_part) {
  SnapshotPlan plan(16, 1560, 46);
  std::vector<std::int32_t> wanted;
  for (std::int32_t b = 0; b < 70; ++b) {
    if (plan.wants(b)) wanted.push_back(b);
  }
  EXPECT_EQ(wanted, (std::vector<std::int32_t>{16, 32, 46, 48, 64}));
  plan.add_wish(20);
  EXPECT_TRUE(plan.wants(20));
  EXPECT_EQ(plan.last_wanted(31), 20);
  EXPECT_EQ(plan.last_wanted(47), 46);
  EXPECT_EQ(plan.last_wanted(5), 0);
  // A prompt that ends with a page: the same once more lacks its last token.
  const SnapshotPlan whole(16, 64, 0);
  EXPECT_TRUE(whole.wants(1) && whole.wants(2));
  EXPECT_FALSE(whole.wants(3));
}

}  // namespace
}  // namespace mlxd
