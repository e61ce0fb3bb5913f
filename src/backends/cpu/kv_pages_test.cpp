#include "backends/cpu/kv_pages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>

namespace mlxd {
namespace {

constexpr LayerGroup kGroup = {.num_layers = 3, .num_kv_heads = 2, .head_dim = 64};

void fill(const KvPages& pages, PageId page, std::byte value) {
  for (std::int32_t layer = 0; layer < kGroup.num_layers; ++layer) {
    for (std::int32_t head = 0; head < kGroup.num_kv_heads; ++head) {
      std::memset(pages.block(page, layer, head), std::to_integer<int>(value), pages.layout().num_bytes);
    }
  }
}

bool holds(const KvPages& pages, PageId page, std::byte value) {
  const std::byte* begin = pages.block(page, 0, 0);
  return std::all_of(begin, begin + pages.page_bytes(), [&](std::byte b) { return b == value; });
}

TEST(KvPages, BlocksFillAPageExactly) {
  struct Case {
    KvFormat format;
    std::size_t block_bytes;
  };
  for (const Case& c :
       {Case{KvFormat::kFloat16, 2U * 2 * 32 * 64}, Case{KvFormat::kBFloat16, 2U * 2 * 32 * 64},
        Case{KvFormat::kInt8, 2U * 32 * (64 + 4)}, Case{KvFormat::kFloat32, 2U * 4 * 32 * 64}}) {
    KvPages pages(kGroup, c.format);
    EXPECT_EQ(pages.page_bytes(), 3 * 2 * c.block_bytes);
    ASSERT_TRUE(pages.resize(3).ok());
    fill(pages, 1, std::byte{7});
    EXPECT_TRUE(holds(pages, 0, std::byte{0}));
    EXPECT_TRUE(holds(pages, 1, std::byte{7}));
    EXPECT_TRUE(holds(pages, 2, std::byte{0}));
  }
}

TEST(KvPages, StatesFillAPageInWholeCacheLines) {
  const LayerGroup group = {.kind = LayerGroupKind::kRecurrent, .num_layers = 3, .state_floats = 100};
  KvPages pages(group, KvFormat::kInt8);
  EXPECT_EQ(pages.page_bytes(), 3U * 448);  // fp32, whatever K/V are
  ASSERT_TRUE(pages.resize(2).ok());
  EXPECT_EQ(pages.state(0, 1) - pages.state(0, 0), 112);
  EXPECT_EQ(pages.state(1, 0) - pages.state(0, 2), 112);
  std::fill_n(pages.state(0, 2), 100, 1.5F);
  pages.copy(0, 1);
  EXPECT_EQ(pages.state(1, 2)[99], 1.5F);
  EXPECT_EQ(pages.state(1, 1)[99], 0.0F);
}

TEST(KvPages, BlocksAreWholeCacheLines) {
  for (std::int32_t head_dim = 16; head_dim <= 256; head_dim += 16) {
    for (const KvFormat format :
         {KvFormat::kFloat16, KvFormat::kBFloat16, KvFormat::kInt8, KvFormat::kFloat32}) {
      const KvBlockLayout layout(format, head_dim);
      EXPECT_EQ(layout.num_bytes % 64, 0U);
      EXPECT_EQ(layout.values_offset % 64, 0U);
      EXPECT_EQ(layout.scales_offset % 64, 0U);
    }
  }
}

TEST(KvPages, ResizingKeepsContentsAndPlacesOfPagesThatStay) {
  KvPages pages(kGroup, KvFormat::kFloat16);
  ASSERT_TRUE(pages.resize(2).ok());
  fill(pages, 0, std::byte{1});
  fill(pages, 1, std::byte{2});
  const std::byte* place = pages.block(1, 0, 0);
  ASSERT_TRUE(pages.resize(5000).ok());
  EXPECT_EQ(pages.num_pages(), 5000);
  fill(pages, 1300, std::byte{3});
  fill(pages, 4999, std::byte{4});
  ASSERT_TRUE(pages.resize(1301).ok());
  EXPECT_EQ(pages.num_pages(), 1301);
  EXPECT_TRUE(holds(pages, 1300, std::byte{3}));
  ASSERT_TRUE(pages.resize(4000).ok());
  fill(pages, 3999, std::byte{5});
  EXPECT_TRUE(holds(pages, 3999, std::byte{5}));
  EXPECT_TRUE(holds(pages, 1300, std::byte{3}));
  EXPECT_EQ(pages.block(1, 0, 0), place);
  EXPECT_TRUE(holds(pages, 0, std::byte{1}));
  EXPECT_TRUE(holds(pages, 1, std::byte{2}));
  ASSERT_TRUE(pages.resize(0).ok());
  ASSERT_TRUE(pages.resize(1).ok());
  fill(pages, 0, std::byte{6});
  EXPECT_TRUE(holds(pages, 0, std::byte{6}));
}

#if defined(__linux__) && !defined(MLXD_SANITIZED)  // sanitizers need memory of their own
/// Resident memory of this process.
std::ptrdiff_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::ptrdiff_t total = 0;
  std::ptrdiff_t resident = 0;
  file >> total >> resident;
  return resident * 4096;
}

TEST(KvPages, PagesThatGoGiveTheirMemoryBack) {
  KvPages pages(kGroup, KvFormat::kFloat16);
  ASSERT_TRUE(pages.resize(4000).ok());  // 196 MB in four slabs
  const auto whole = static_cast<std::ptrdiff_t>(4000 * pages.page_bytes());
  const std::ptrdiff_t before = resident_bytes();
  for (PageId page = 0; page < 4000; ++page) fill(pages, page, std::byte{1});
  EXPECT_GT(resident_bytes() - before, whole * 9 / 10);
  ASSERT_TRUE(pages.resize(400).ok());  // the first slab in part
  EXPECT_LT(resident_bytes() - before, whole * 2 / 10);
  EXPECT_TRUE(holds(pages, 399, std::byte{1}));
}

TEST(KvPages, TouchedPagesHaveTheirMemoryFromTheStart) {
  KvPages pages(kGroup, KvFormat::kInt8, true);
  ASSERT_TRUE(pages.resize(10).ok());
  fill(pages, 9, std::byte{1});
  const std::ptrdiff_t before = resident_bytes();
  ASSERT_TRUE(pages.resize(2001).ok());
  EXPECT_TRUE(holds(pages, 9, std::byte{1}));
  const std::ptrdiff_t touched = resident_bytes();
  EXPECT_GT(touched - before, static_cast<std::ptrdiff_t>(1980 * pages.page_bytes()));
  for (PageId page = 0; page < 2001; ++page) fill(pages, page, std::byte{2});
  EXPECT_LT(resident_bytes() - touched, std::ptrdiff_t{1} << 20);
}

TEST(KvPages, AFewPagesGetTheirMemoryAheadOneByOne) {
  // Pages of 6 MB, larger than the system's huge pages.
  KvPages pages({.num_layers = 64, .num_kv_heads = 6, .head_dim = 128}, KvFormat::kFloat16);
  const auto page_bytes = static_cast<std::ptrdiff_t>(pages.page_bytes());
  ASSERT_TRUE(pages.resize(40).ok());
  std::memset(pages.block(20, 0, 0), 1, pages.page_bytes());
  for (const PageId page : {3U, 21U}) std::memset(pages.block(page, 0, 0), 1, pages.page_bytes());
  const std::ptrdiff_t before = resident_bytes();
  pages.touch_ahead(21);
  EXPECT_NEAR(static_cast<double>(resident_bytes() - before), static_cast<double>(page_bytes), 3e6);
  for (int i = 0; i < 30; ++i) pages.touch_ahead(21);
  EXPECT_NEAR(static_cast<double>(resident_bytes() - before), 8.0 * static_cast<double>(page_bytes), 3e6);
  for (int i = 0; i < 30; ++i) pages.touch_ahead(39);
  const std::byte* begin = pages.block(21, 0, 0);
  EXPECT_TRUE(std::all_of(begin, begin + page_bytes, [](std::byte b) { return b == std::byte{1}; }));
}
#endif

TEST(KvPages, CopiesWholePages) {
  KvPages pages(kGroup, KvFormat::kInt8);
  ASSERT_TRUE(pages.resize(4).ok());
  fill(pages, 3, std::byte{9});
  pages.copy(3, 1);
  EXPECT_TRUE(holds(pages, 1, std::byte{9}));
  EXPECT_TRUE(holds(pages, 2, std::byte{0}));
}

TEST(KvPages, RefusingMoreThanTheSystemHasChangesNothing) {
  KvPages pages(kGroup, KvFormat::kFloat16);
  ASSERT_TRUE(pages.resize(3).ok());
  fill(pages, 2, std::byte{8});
  const Result<void> result = pages.resize(2'000'000'000);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().kind, ErrorKind::kOutOfMemory);
  EXPECT_EQ(pages.num_pages(), 3);
  EXPECT_TRUE(holds(pages, 2, std::byte{8}));
}

TEST(KvPages, FormatsHaveNames) {
  for (const KvFormat format :
       {KvFormat::kFloat16, KvFormat::kBFloat16, KvFormat::kInt8, KvFormat::kFloat32}) {
    const Result<KvFormat> parsed = parse_kv_format(to_string(format));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, format);
  }
  EXPECT_EQ(parse_kv_format("fp8").error().kind, ErrorKind::kInvalidArgument);
}

}  // namespace
}  // namespace mlxd
