#include "backends/cpu/kv_pages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace mlxd {
namespace {

constexpr std::array<LayerGroup, 2> kGroups = {
    LayerGroup{.num_layers = 3, .num_kv_heads = 2, .head_dim = 64},
    LayerGroup{.num_layers = 1, .num_kv_heads = 5, .head_dim = 128}};

void fill(const KvPages& pages, PageId page, std::byte value) {
  for (std::size_t group = 0; group < kGroups.size(); ++group) {
    for (std::int32_t layer = 0; layer < kGroups[group].num_layers; ++layer) {
      for (std::int32_t head = 0; head < kGroups[group].num_kv_heads; ++head) {
        std::memset(pages.block(page, group, layer, head), std::to_integer<int>(value),
                    static_cast<std::size_t>(2 * 2 * kPageTokens * kGroups[group].head_dim));
      }
    }
  }
}

bool holds(const KvPages& pages, PageId page, std::byte value) {
  const std::byte* begin = pages.block(page, 0, 0, 0);
  return std::all_of(begin, begin + pages.page_bytes(), [&](std::byte b) { return b == value; });
}

TEST(KvPages, BlocksFillAPageExactly) {
  KvPages pages(kGroups, 2);
  EXPECT_EQ(pages.page_bytes(), 2U * 2 * kPageTokens * (3 * 2 * 64 + 5 * 128));
  ASSERT_TRUE(pages.allocate(3).ok());
  fill(pages, 1, std::byte{7});
  EXPECT_TRUE(holds(pages, 0, std::byte{0}));
  EXPECT_TRUE(holds(pages, 1, std::byte{7}));
  EXPECT_TRUE(holds(pages, 2, std::byte{0}));
}

TEST(KvPages, GrowthKeepsContentsAndPlaces) {
  KvPages pages(kGroups, 2);
  ASSERT_TRUE(pages.allocate(2).ok());
  fill(pages, 0, std::byte{1});
  fill(pages, 1, std::byte{2});
  const std::byte* place = pages.block(1, 0, 0, 0);
  ASSERT_TRUE(pages.allocate(5000).ok());
  EXPECT_EQ(pages.num_pages(), 5000);
  EXPECT_EQ(pages.block(1, 0, 0, 0), place);
  EXPECT_TRUE(holds(pages, 0, std::byte{1}));
  EXPECT_TRUE(holds(pages, 1, std::byte{2}));
  fill(pages, 4999, std::byte{3});
  ASSERT_TRUE(pages.allocate(10).ok());
  EXPECT_EQ(pages.num_pages(), 5000);
  EXPECT_TRUE(holds(pages, 4999, std::byte{3}));
}

TEST(KvPages, CopiesWholePages) {
  KvPages pages(kGroups, 2);
  ASSERT_TRUE(pages.allocate(4).ok());
  fill(pages, 3, std::byte{9});
  pages.copy(3, 1);
  EXPECT_TRUE(holds(pages, 1, std::byte{9}));
  EXPECT_TRUE(holds(pages, 2, std::byte{0}));
}

TEST(KvPages, RefusesMoreThanTheSystemHas) {
  KvPages pages(kGroups, 2);
  const Result<void> result = pages.allocate(2'000'000'000);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().kind, ErrorKind::kOutOfMemory);
}

}  // namespace
}  // namespace mlxd
