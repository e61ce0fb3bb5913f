#include "engine/kv_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace mlxd {
namespace {

constexpr PageGroupInfo kFull{.page_bytes = 1, .window_tokens = 0};

std::vector<TokenId> numbers(std::int32_t count, TokenId first = 0) {
  std::vector<TokenId> tokens;
  for (std::int32_t i = 0; i < count; ++i) tokens.push_back(first + i);
  return tokens;
}

std::vector<TokenId> join(std::vector<TokenId> a, const std::vector<TokenId>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// Runs a whole prompt through the cache as the engine does; returns how many tokens were there.
class Prompts {
 public:
  explicit Prompts(KvCache& cache) : cache_(cache) {}

  std::int32_t start(KvCache::Held& held, const std::vector<TokenId>& tokens, const std::string& salt = "",
                     std::uint64_t client = 0) {
    const std::int32_t shared = cache_.open(held, cache_.find(tokens, salt), salt);
    cache_.copies_done();
    EXPECT_TRUE(cache_.try_extend(held, static_cast<std::int32_t>(tokens.size())));
    cache_.commit_tail(held, tokens, static_cast<std::int32_t>(tokens.size()), client);
    check({&held});
    return shared;
  }
  std::int32_t run(const std::vector<TokenId>& tokens, const std::string& salt = "",
                   std::uint64_t client = 0) {
    KvCache::Held held;
    const std::int32_t shared = start(held, tokens, salt, client);
    cache_.close(held, tokens, static_cast<std::int32_t>(tokens.size()), client);
    check({});
    return shared;
  }
  /// Sequences held beside the one at hand.
  std::vector<const KvCache::Held*> others;

  void check(std::vector<const KvCache::Held*> holders) const {
    holders.insert(holders.end(), others.begin(), others.end());
    const auto intact = cache_.check_integrity(holders);
    EXPECT_TRUE(intact.ok()) << intact.error().message;
  }

 private:
  KvCache& cache_;
};

TEST(KvCache, finds_whole_pages_and_copies_the_one_that_differs_within) {
  KvCache cache({.groups = {kFull}, .num_pages = {20}});
  Prompts prompts(cache);
  EXPECT_EQ(prompts.run(numbers(100)), 0);
  EXPECT_EQ(cache.pool(0).num_idle(), 4);
  struct Case {
    std::vector<TokenId> prompt;
    std::int32_t shared;
  };
  const Case cases[] = {
      {numbers(100), 99},  // all but the one that must be computed
      {numbers(64), 63},
      {numbers(65), 64},
      {numbers(33), 32},
      {numbers(1), 0},
      {join(numbers(70), {999, 998}), 70},
      {join(numbers(64), {999, 998}), 64},
      {numbers(50, 1), 0},
      {join(numbers(100), numbers(100, 500)), 100},
  };
  for (const Case& c : cases) {
    const KvCache::Match match = cache.find(c.prompt, "");
    EXPECT_EQ(match.num_tokens, c.shared) << c.prompt.size();
    EXPECT_EQ(cache.find(c.prompt, "", false).num_tokens, c.shared / kPageTokens * kPageTokens);
  }
}

TEST(KvCache, finds_no_more_than_is_wanted) {
  KvCache cache({.groups = {kFull}, .num_pages = {20}});
  Prompts prompts(cache);
  prompts.run(numbers(100));
  for (const std::int32_t most : {0, 1, 31, 32, 33, 64, 99, 100, 1000}) {
    const KvCache::Match match = cache.find(numbers(100), "", true, most);
    EXPECT_EQ(match.num_tokens, std::min(most, 99));
    EXPECT_EQ(cache.find(numbers(100), "", false, most).num_tokens,
              std::min(most, 99) / kPageTokens * kPageTokens);
    // Where others will part is no matter of what is wanted.
    EXPECT_EQ(match.num_asked, 100);
    EXPECT_EQ(match.num_known, 3);
  }
}

TEST(KvCache, a_copy_comes_from_the_page_it_shares_and_goes_to_a_page_of_its_own) {
  KvCache cache({.groups = {kFull}, .num_pages = {20}});
  Prompts prompts(cache);
  KvCache::Held first;
  prompts.start(first, numbers(40));
  KvCache::Held second;
  const auto tokens = join(numbers(36), {7, 7, 7});
  EXPECT_EQ(cache.open(second, cache.find(tokens, ""), ""), 36);
  EXPECT_EQ(second.tables[0][0], first.tables[0][0]);
  ASSERT_EQ(cache.copies(0).size(), 1U);
  EXPECT_EQ(cache.copies(0)[0].from, first.tables[0][1]);
  EXPECT_EQ(cache.copies(0)[0].to, second.tables[0][1]);
  EXPECT_NE(second.tables[0][1], first.tables[0][1]);
  prompts.check({&first, &second});
  cache.copies_done();
  prompts.check({&first, &second});
  cache.close(first, numbers(40), 40, 0);
  cache.close(second, tokens, 39, 0);
  prompts.check({});
}

TEST(KvCache, keeps_apart_what_is_salted_apart) {
  KvCache cache({.groups = {kFull}, .num_pages = {20}});
  Prompts prompts(cache);
  EXPECT_EQ(prompts.run(numbers(100), "a"), 0);
  EXPECT_EQ(prompts.run(numbers(100), "b"), 0);
  EXPECT_EQ(prompts.run(numbers(100)), 0);
  EXPECT_EQ(prompts.run(numbers(100), "b"), 99);
}

TEST(KvCache, the_same_tokens_after_others_are_another_prefix) {
  KvCache cache({.groups = {kFull}, .num_pages = {20}});
  Prompts prompts(cache);
  prompts.run(join(numbers(32, 100), numbers(32)));
  EXPECT_EQ(cache.find(join(numbers(32, 200), numbers(33)), "").num_tokens, 0);
  EXPECT_EQ(cache.find(numbers(33), "").num_tokens, 0);
}

TEST(KvCache, a_collision_of_hashes_serves_nobody_anothers_page) {
  // All hashes are 0: only the tokens tell prompts apart.
  KvCache cache({.groups = {kFull}, .num_pages = {60}, .hash_mask = 0});
  Prompts prompts(cache);
  for (TokenId first = 0; first < 5; ++first) EXPECT_EQ(prompts.run(numbers(64, first * 100)), 0);
  for (TokenId first = 0; first < 5; ++first) EXPECT_EQ(prompts.run(numbers(65, first * 100)), 64);
}

TEST(KvCache, evicts_the_least_recently_used_leaf_first) {
  KvCache cache({.groups = {kFull}, .num_pages = {6}});
  Prompts prompts(cache);
  prompts.run(numbers(64, 100));
  prompts.run(numbers(64, 200));
  prompts.run(numbers(64, 100));  // used again
  KvCache::Held held;
  prompts.start(held, numbers(32 * 3, 300));  // two were free
  EXPECT_EQ(cache.num_evictions(), 1U);
  EXPECT_EQ(cache.find(numbers(65, 100), "").num_tokens, 64);
  EXPECT_EQ(cache.find(numbers(65, 200), "").num_tokens, 32);  // its beginning is still there
  cache.close(held, numbers(96, 300), 96, 0);
}

TEST(KvCache, what_a_sequence_uses_is_not_evicted) {
  KvCache cache({.groups = {kFull}, .num_pages = {4}});
  Prompts prompts(cache);
  KvCache::Held held;
  prompts.start(held, numbers(96));
  KvCache::Held other;
  EXPECT_TRUE(cache.try_extend(other, 32));
  EXPECT_FALSE(cache.try_extend(other, 64));
  EXPECT_EQ(other.tables[0].size(), 1U);
  EXPECT_EQ(cache.num_evictions(), 0U);
}

TEST(KvCache, a_page_computed_twice_is_kept_once) {
  KvCache cache({.groups = {kFull}, .num_pages = {20}});
  Prompts prompts(cache);
  KvCache::Held a, b;
  const auto tokens = numbers(96);
  // Both begin before either has computed anything.
  cache.open(a, cache.find(tokens, ""), "");
  cache.open(b, cache.find(tokens, ""), "");
  ASSERT_TRUE(cache.try_extend(a, 96) && cache.try_extend(b, 96));
  EXPECT_EQ(cache.pool(0).num_used(), 6);
  cache.commit(a, tokens, 96, 0);
  cache.commit(b, tokens, 96, 0);
  EXPECT_EQ(a.tables[0], b.tables[0]);
  EXPECT_EQ(cache.pool(0).num_used(), 3);
  prompts.check({&a, &b});
}

TEST(KvCache, without_sharing_nothing_is_kept) {
  KvCache cache({.groups = {kFull}, .num_pages = {20}, .share_prefixes = false});
  Prompts prompts(cache);
  prompts.run(numbers(100));
  EXPECT_EQ(cache.find(numbers(100), "").num_tokens, 0);
  EXPECT_EQ(cache.pool(0).num_free(), 20);
}

TEST(KvCache, lets_go_of_pages_behind_a_window_and_reuses_what_the_window_sees) {
  KvCache cache({.groups = {{.page_bytes = 1, .window_tokens = 40}}, .num_pages = {4}});
  Prompts prompts(cache);
  KvCache::Held held;
  const auto tokens = numbers(1000);
  cache.open(held, cache.find(tokens, ""), "");
  for (std::int32_t done = 0; done < 1000; done += 20) {
    ASSERT_TRUE(cache.try_extend(held, done + 20)) << done;
    cache.commit(held, tokens, done + 20, 0);
    prompts.check({&held});
    EXPECT_LE(cache.pool(0).num_used(), 3);
  }
  EXPECT_EQ(held.tables[0].front(), kNoPage);
  cache.close(held, tokens, 1000, 0);
  prompts.check({});
  // The last positions are still seen; the first are long gone.
  EXPECT_EQ(cache.find(join(tokens, {1}), "").num_tokens, 1000);
  EXPECT_EQ(cache.find(join(numbers(300), {5000, 5001}), "").num_tokens, 0);
}

TEST(KvCache, moves_pages_that_are_in_use_when_it_shrinks) {
  KvCache cache({.groups = {kFull}, .num_pages = {12}});
  Prompts prompts(cache);
  KvCache::Held low, high;
  prompts.start(low, numbers(64, 1000));
  prompts.others = {&low};
  prompts.run(numbers(128, 2000));  // 4 idle pages in between
  prompts.start(high, numbers(70, 3000));
  prompts.others = {&low, &high};
  const auto before = high.tables[0];
  std::vector<KvCache::Held*> holders{&low, &high};
  EXPECT_FALSE(cache.try_prepare_shrink(0, 4, holders));
  ASSERT_TRUE(cache.try_prepare_shrink(0, 6, holders));
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_LT(high.tables[0][i], 6U);
    if (before[i] == high.tables[0][i]) continue;
    const auto copies = cache.copies(0);
    EXPECT_TRUE(std::any_of(copies.begin(), copies.end(), [&](const PageCopy& copy) {
      return copy.from == before[i] && copy.to == high.tables[0][i];
    }));
  }
  cache.copies_done();
  cache.finish_shrink(0, 6);
  prompts.check({});
  EXPECT_EQ(cache.find(numbers(70, 3000), "").num_tokens, 69);
  cache.grow(0, 9);
  EXPECT_EQ(cache.num_available(0), 4);
  prompts.check({});
}

TEST(KvCache, explains_where_a_prompt_left_what_is_cached) {
  KvCache cache({.groups = {kFull}, .num_pages = {40}});
  Prompts prompts(cache);
  const auto outcome = [&](const std::vector<TokenId>& tokens, std::uint64_t client = 1) {
    return cache.explain(tokens, "", client);
  };
  EXPECT_EQ(outcome(numbers(10)).outcome, CacheOutcome::kNothingCached);
  prompts.run(numbers(100), "", 1);
  EXPECT_EQ(outcome(numbers(100)).outcome, CacheOutcome::kWhole);
  EXPECT_EQ(outcome(join(numbers(100), {5})).outcome, CacheOutcome::kEnded);
  EXPECT_EQ(outcome(join(numbers(100), {5})).position, 100);
  const CacheReport diverged = outcome(join(numbers(40), {999, 998}));
  EXPECT_EQ(diverged.outcome, CacheOutcome::kDiverged);
  EXPECT_EQ(diverged.position, 40);
  EXPECT_TRUE(diverged.same_client);
  EXPECT_EQ(diverged.cached_continuation, numbers(24, 40));
  const CacheReport foreign = outcome(join(numbers(40), {999, 998}), 2);
  EXPECT_EQ(foreign.position, 40);
  EXPECT_FALSE(foreign.same_client);
  EXPECT_TRUE(foreign.cached_continuation.empty());
}

TEST(KvCache, holds_no_more_however_many_prompts_pass) {
  KvCache cache({.groups = {kFull, {.page_bytes = 1, .window_tokens = 50}}, .num_pages = {30, 20}});
  Prompts prompts(cache);
  std::mt19937 random(5);
  for (int i = 0; i < 2000; ++i) {
    std::vector<TokenId> tokens;
    const auto count = 1 + random() % 300;
    for (std::size_t t = 0; t < count; ++t) tokens.push_back(static_cast<TokenId>(random() % 40 == 0));
    prompts.run(tokens, random() % 10 == 0 ? "s" + std::to_string(i) : "");
  }
  EXPECT_LE(cache.num_nodes(), 50U + 2U);
  cache.clear();
  EXPECT_EQ(cache.num_nodes(), 0U);
  EXPECT_EQ(cache.pool(0).num_free(), 30);
  EXPECT_EQ(cache.pool(1).num_free(), 20);
}

}  // namespace
}  // namespace mlxd
