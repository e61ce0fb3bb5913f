#include "engine/ngram_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace mlxd {
namespace {

NgramIndex index_of(const std::vector<TokenId>& text) {
  NgramIndex index;
  index.append(text);
  return index;
}

void check(const std::vector<TokenId>& text, std::int32_t position, std::int32_t num_tokens) {
  NgramIndex index = index_of(text);
  const NgramIndex::Match match = index.find_last();
  EXPECT_EQ(match.num_tokens, num_tokens);
  if (num_tokens > 0) {
    EXPECT_EQ(match.position, position);
  }
}

TEST(NgramIndex, finds_what_the_last_tokens_followed_before) {
  check({1, 2, 3, 4, 9, 2, 3, 4}, 4, 3);
  check({1, 2, 3, 4, 9, 3, 4}, 4, 2);
  check({1, 2, 3, 4, 9, 4}, 0, 0);
  check({1, 2, 3}, 0, 0);
  check({7, 7, 7, 7}, 3, 3);
  check({}, 0, 0);
  check({1, 2}, 0, 0);
}

TEST(NgramIndex, the_longest_match_goes_before_the_most_recent) {
  check({5, 1, 2, 3, 10, 6, 1, 2, 3, 11, 5, 1, 2, 3}, 4, 4);
  check({5, 1, 2, 3, 10, 6, 1, 2, 3, 11, 8, 1, 2, 3}, 9, 3);
  check({1, 2, 3, 10, 2, 3, 11, 1, 2, 3}, 3, 3);
}

TEST(NgramIndex, nothing_matches_across_a_break) {
  check({1, 2, 3, 4, kNoToken, 2, 3, 4}, 4, 3);
  check({1, 2, 3, 4, kNoToken, 3, 4}, 4, 2);
  check({1, kNoToken, 3, 4, 9, 1, kNoToken, 3, 4}, 4, 2);
  check({3, kNoToken, 4, 9, 3, kNoToken, 4}, 0, 0);
}

TEST(NgramIndex, a_match_counts_up_to_its_longest) {
  std::vector<TokenId> text;
  for (TokenId i = 0; i < 100; ++i) text.push_back(i);
  for (TokenId i = 0; i < 60; ++i) text.push_back(i);
  check(text, 60, NgramIndex::kLongestMatch);
}

// Against looking through the whole text: a match there of three tokens or more is found, at its length or,
// where many others are more recent, at a shorter one.
TEST(NgramIndex, agrees_with_a_search_of_the_whole_text_while_it_grows) {
  std::mt19937 random(5);
  for (const TokenId variety : {2, 5, 40, 3000}) {
    NgramIndex index;
    std::vector<TokenId> text;
    for (int round = 0; round < 400; ++round) {
      std::vector<TokenId> more(1 + random() % 4);
      for (TokenId& token : more)
        token = static_cast<TokenId>(random() % static_cast<std::uint32_t>(variety));
      text.insert(text.end(), more.begin(), more.end());
      index.append(more);
      std::int32_t longest = 0;
      for (std::size_t end = 1; end < text.size(); ++end) {
        std::int32_t common = 0;
        while (common < NgramIndex::kLongestMatch && static_cast<std::size_t>(common) < end &&
               text[end - 1 - static_cast<std::size_t>(common)] ==
                   text[text.size() - 1 - static_cast<std::size_t>(common)])
          ++common;
        longest = std::max(longest, common);
      }
      const NgramIndex::Match match = index.find_last();
      const bool few = variety >= 40;
      if (longest >= 3) {
        ASSERT_GE(match.num_tokens, few ? longest : 3);
        ASSERT_LE(match.num_tokens, longest);
      }
      for (std::int32_t i = 1; i <= match.num_tokens; ++i)
        ASSERT_EQ(text[static_cast<std::size_t>(match.position - i)],
                  text[text.size() - static_cast<std::size_t>(i)]);
    }
  }
}

TEST(NgramIndex, forgets_the_oldest_and_stays_within_its_memory) {
  NgramIndex index;
  std::mt19937 random(7);
  std::vector<TokenId> piece(1000);
  for (int round = 0; round < 200; ++round) {
    for (TokenId& token : piece) token = static_cast<TokenId>(random() % 50000);
    index.append(piece);
    index.find_last();
    ASSERT_LE(index.text().size(), NgramIndex::kMostTokens);
  }
  EXPECT_EQ(index.num_forgotten() + index.text().size(), 200U * 1000U);
  EXPECT_LE(index.memory_bytes(), NgramIndex::kMostTokens * 4U * 8U);
  // What is remembered is found at its place.
  const auto known = index.text();
  const std::vector<TokenId> again(known.begin() + 100, known.begin() + 120);
  index.append(again);
  const NgramIndex::Match match = index.find_last();
  EXPECT_EQ(match.num_tokens, 20);
  EXPECT_EQ(match.position, 120);
  // One piece longer than all that is kept.
  std::vector<TokenId> huge(3 * NgramIndex::kMostTokens);
  for (TokenId& token : huge) token = static_cast<TokenId>(random() % 50000);
  index.append(huge);
  EXPECT_LE(index.text().size(), NgramIndex::kMostTokens);
  EXPECT_TRUE(std::equal(index.text().rbegin(), index.text().rend(), huge.rbegin()));
  EXPECT_EQ(index.find_last().num_tokens, 0);
}

}  // namespace
}  // namespace mlxd
