#include "runtime/kv_plan.h"

#include <gtest/gtest.h>

#include "engine/engine.h"
#include "runtime/free_memory.h"

namespace mlxd {
namespace {

KvCost each(std::size_t page_bytes) {
  return [page_bytes](std::int32_t num_pages) { return static_cast<std::size_t>(num_pages) * page_bytes; };
}

constexpr std::size_t kMebibyte = std::size_t{1} << 20U;

TEST(KvPlan, gives_what_is_asked_for_or_a_default_that_fits) {
  struct Case {
    const char* what;
    KvWish wish;
    std::size_t page_bytes;
    std::size_t available;
    std::int32_t num_pages;
    std::int32_t context_tokens;
  };
  const Case cases[] = {
      {"default: 16,384 tokens", {8192, 0, 0, 64}, kMebibyte, 10000 * kMebibyte, 512, 8192},
      {"a long model's context is cut to the pages",
       {131072, 0, 0, 64},
       kMebibyte,
       10000 * kMebibyte,
       512,
       16384},
      {"a longer context asked for gets its pages",
       {131072, 65536, 0, 64},
       kMebibyte,
       10000 * kMebibyte,
       2048,
       65536},
      {"a shorter context asked for", {131072, 4096, 0, 64}, kMebibyte, 10000 * kMebibyte, 512, 4096},
      {"no more than its sequences can use", {2048, 0, 0, 2}, kMebibyte, 10000 * kMebibyte, 128, 2048},
      {"a quarter of the free memory at most", {8192, 0, 0, 64}, kMebibyte, 400 * kMebibyte, 100, 3200},
      {"more than a quarter for a context asked for",
       {8192, 8192, 0, 64},
       kMebibyte,
       400 * kMebibyte,
       256,
       8192},
      {"bytes asked for", {8192, 0, 64 * kMebibyte, 64}, kMebibyte, 0, 64, 2048},
      {"bytes asked for hold more than one context", {512, 0, 64 * kMebibyte, 64}, kMebibyte, 0, 64, 512},
  };
  for (const Case& c : cases) {
    const auto plan = plan_kv(c.wish, each(c.page_bytes), c.available);
    ASSERT_TRUE(plan.ok()) << c.what << ": " << plan.error().message;
    EXPECT_EQ(plan->num_pages, c.num_pages) << c.what;
    EXPECT_EQ(plan->context_tokens, c.context_tokens) << c.what;
  }
}

TEST(KvPlan, bounds_a_model_that_shares_memory) {
  struct Case {
    const char* what;
    KvWish wish;
    std::size_t share, available;  // MiB, as each page
    std::int32_t context_tokens;
    std::size_t least, usual, most;  // pages
  };
  const Case cases[] = {
      {"its own context", {8192, 0, 0, 4}, 0, 10000, 8192, 256, 512, 1024},
      {"a long one is cut to the usual", {131072, 0, 0, 4}, 0, 10000, 16384, 512, 512, 2048},
      {"or to its share of the budget", {131072, 0, 0, 4}, 1000, 10000, 32000, 1000, 1000, 4000},
      {"one asked for is as long as that", {131072, 65536, 0, 2}, 0, 100, 65536, 2048, 2048, 4096},
      {"what is there for a single model", {8192, 0, 0, 4}, 25, 100, 3200, 100, 400, 400},
      {"no more than its sequences can use", {2048, 0, 0, 2}, 0, 10000, 2048, 64, 128, 128},
      {"one page at the least", {2048, 0, 0, 2}, 0, 0, 1, 1, 1, 1},
  };
  for (const Case& c : cases) {
    const KvBounds bounds = bound_kv(c.wish, each(kMebibyte), c.share * kMebibyte, c.available * kMebibyte);
    EXPECT_EQ(bounds.context_tokens, c.context_tokens) << c.what;
    EXPECT_EQ(bounds.least_bytes / kMebibyte, c.least) << c.what;
    EXPECT_EQ(bounds.usual_bytes / kMebibyte, c.usual) << c.what;
    EXPECT_EQ(bounds.most_bytes / kMebibyte, c.most) << c.what;
  }
}

TEST(KvPlan, refuses_what_cannot_be_held_with_both_numbers) {
  const auto too_long = plan_kv({8192, 8193, 0, 64}, each(kMebibyte), 10000 * kMebibyte);
  ASSERT_FALSE(too_long.ok());
  EXPECT_EQ(too_long.error().kind, ErrorKind::kInvalidArgument);
  EXPECT_EQ(too_long.error().field, "context");
  const auto too_large = plan_kv({8192, 8192, 0, 64}, each(kMebibyte), 200 * kMebibyte);
  ASSERT_FALSE(too_large.ok());
  EXPECT_EQ(too_large.error().kind, ErrorKind::kOutOfMemory);
  EXPECT_NE(too_large.error().message.find("needs 256 MiB"), std::string::npos) << too_large.error().message;
  EXPECT_NE(too_large.error().message.find("is 150 MiB"), std::string::npos) << too_large.error().message;
  EXPECT_FALSE(plan_kv({8192, 4096, 2 * kMebibyte, 64}, each(kMebibyte), 0).ok());
  EXPECT_FALSE(plan_kv({8192, 0, 100, 64}, each(kMebibyte), 0).ok());
  EXPECT_FALSE(plan_kv({8192, 0, 0, 64}, each(kMebibyte), 0).ok());
}

// A hybrid's states share the quota with K/V: it is filled but for less than one page more, small or large.
TEST(KvPlan, divides_quotas_of_any_size_between_kv_and_states) {
  for (const std::size_t state_bytes : {160 * kMebibyte / 1024, 75 * kMebibyte}) {
    BackendInfo info;
    info.page_groups = {{.page_bytes = kMebibyte / 2},
                        {.page_bytes = kMebibyte / 8, .window_tokens = 512},
                        {.page_bytes = state_bytes, .window_tokens = 2, .is_state = true}};
    const KvCost cost = [&info](std::int32_t num_pages) {
      std::size_t bytes = 0;
      const std::vector<std::int32_t> pages = pages_by_group(info, num_pages, 64, 512);
      for (std::size_t g = 0; g < pages.size(); ++g)
        bytes += static_cast<std::size_t>(pages[g]) * info.page_groups[g].page_bytes;
      return bytes;
    };
    std::int32_t before = 0;
    for (const std::size_t quota :
         {std::size_t{400}, std::size_t{1000}, std::size_t{4000}, std::size_t{64000}}) {
      const auto plan = plan_kv({262144, 0, quota * kMebibyte, 64}, cost, 0);
      ASSERT_TRUE(plan.ok()) << plan.error().message;
      EXPECT_LE(cost(plan->num_pages), quota * kMebibyte);
      EXPECT_GT(cost(plan->num_pages + 1), quota * kMebibyte);
      EXPECT_GT(plan->num_pages, before);
      before = plan->num_pages;
    }
    EXPECT_FALSE(plan_kv({262144, 0, state_bytes, 64}, cost, 0).ok());
  }
}

TEST(FreeMemory, says_something_plausible) {
  EXPECT_GT(free_memory_bytes(), kMebibyte);
  EXPECT_LT(free_memory_bytes(), std::size_t{1} << 50U);
}

}  // namespace
}  // namespace mlxd
