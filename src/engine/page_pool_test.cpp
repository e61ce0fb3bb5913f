#include "engine/page_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "engine/token_counts.h"

namespace mlxd {
namespace {

TEST(PagePool, takes_all_pages_asked_for_or_none) {
  PagePool pool(5);
  std::vector<PageId> pages{77};
  EXPECT_TRUE(pool.try_take(3, pages));
  EXPECT_EQ(pages, (std::vector<PageId>{77, 0, 1, 2}));
  EXPECT_FALSE(pool.try_take(3, pages));
  EXPECT_EQ(pages.size(), 4U);
  EXPECT_EQ(pool.num_free(), 2);
  EXPECT_TRUE(pool.try_take(0, pages));
  EXPECT_TRUE(pool.try_take(2, pages));
  EXPECT_EQ(pool.num_used(), 5);
}

TEST(PagePool, a_page_is_free_when_its_last_holder_lets_go) {
  PagePool pool(2);
  std::vector<PageId> pages;
  ASSERT_TRUE(pool.try_take(1, pages));
  pool.retain(pages[0]);
  EXPECT_EQ(pool.references(pages[0]), 2);
  pool.release(pages[0]);
  EXPECT_EQ(pool.num_free(), 1);
  pool.release(pages[0]);
  EXPECT_EQ(pool.num_free(), 2);
}

TEST(PagePool, uses_the_page_freed_last_first) {
  PagePool pool(8);
  std::vector<PageId> pages;
  ASSERT_TRUE(pool.try_take(8, pages));
  pool.release(3);
  pool.release(6);
  pages.clear();
  ASSERT_TRUE(pool.try_take(2, pages));
  EXPECT_EQ(pages, (std::vector<PageId>{6, 3}));
}

TEST(PagePool, keeps_its_integrity_over_random_use) {
  std::mt19937 random(11);
  PagePool pool(40);
  std::vector<std::int32_t> holders(40, 0);
  std::vector<PageId> held;  // a page once for each reference
  for (int round = 0; round < 5000; ++round) {
    const auto choice = random() % 3;
    if (choice == 0) {
      const std::size_t before = held.size();
      const auto count = static_cast<std::int32_t>(random() % 6);
      const bool taken = pool.try_take(count, held);
      EXPECT_EQ(held.size() - before, taken ? static_cast<std::size_t>(count) : 0);
      for (std::size_t i = before; i < held.size(); ++i) ++holders[held[i]];
    } else if (!held.empty()) {
      const std::size_t index = random() % held.size();
      if (choice == 1) {
        pool.release(held[index]);
        --holders[held[index]];
        held.erase(held.begin() + static_cast<std::ptrdiff_t>(index));
      } else if (held.size() < 200) {
        pool.retain(held[index]);
        ++holders[held[index]];
        held.push_back(held[index]);
      }
    }
    const auto result = pool.check_integrity(holders);
    ASSERT_TRUE(result.ok()) << result.error().message;
  }
}

TEST(PagePool, integrity_check_names_the_page_whose_holders_differ) {
  PagePool pool(3);
  std::vector<PageId> pages;
  ASSERT_TRUE(pool.try_take(2, pages));
  const std::vector<std::int32_t> holders{1, 0, 0};
  ASSERT_FALSE(pool.check_integrity(holders).ok());
  EXPECT_EQ(pool.check_integrity(holders).error().message, "page 1 has 1 references but 0 holders");
}

TEST(PagePool, pages_for_tokens_rounds_up) {
  for (const auto& [tokens, pages] : {std::pair{0, 0}, {1, 1}, {32, 1}, {33, 2}, {64, 2}, {1000, 32}})
    EXPECT_EQ(pages_for_tokens(tokens), pages) << tokens;
}

TEST(TokenCounts, equals_counting_from_scratch) {
  std::mt19937 random(13);
  TokenCounts counts;
  std::vector<TokenCount> expected;
  const auto find = [&](TokenId token) -> TokenCount& {
    const auto found =
        std::find_if(expected.begin(), expected.end(), [&](const auto& c) { return c.token == token; });
    return found != expected.end() ? *found : expected.emplace_back(TokenCount{.token = token});
  };
  for (int i = 0; i < 3000; ++i) {
    const auto token = static_cast<TokenId>(random() % 700 * (random() % 2 == 0 ? 1 : 128));
    if (i < 1000) {
      counts.add_prompt(token);
      find(token).in_prompt = true;
    } else {
      counts.add_generated(token);
      ++find(token).generated;
    }
  }
  ASSERT_EQ(counts.entries().size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(counts.entries()[i].token, expected[i].token);
    EXPECT_EQ(counts.entries()[i].generated, expected[i].generated);
    EXPECT_EQ(counts.entries()[i].in_prompt, expected[i].in_prompt);
  }
}

}  // namespace
}  // namespace mlxd
