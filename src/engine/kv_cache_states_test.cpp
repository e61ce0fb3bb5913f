// Pages of states: which are left behind, what goes on from them, and that nobody runs out of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/kv_cache.h"

namespace mlxd {
namespace {

constexpr PageGroupInfo kFull{.page_bytes = 1, .window_tokens = 0};

/// States that are left behind at every `distance`th boundary.
constexpr PageGroupInfo states(std::size_t distance) {
  return {.page_bytes = distance, .window_tokens = 2, .is_state = true};
}

std::vector<TokenId> numbers(std::int32_t count, TokenId first = 0) {
  std::vector<TokenId> tokens;
  for (std::int32_t i = 0; i < count; ++i) tokens.push_back(first + i);
  return tokens;
}

std::vector<TokenId> join(std::vector<TokenId> a, const std::vector<TokenId>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// The first `count` numbers, then others.
std::vector<TokenId> parting_after(std::int32_t count) { return join(numbers(count), numbers(60, 90000)); }

/// A sequence that goes through the cache as in the engine.
class Life {
 public:
  Life(KvCache& cache, std::vector<TokenId> tokens) : cache_(cache), tokens_(std::move(tokens)) {
    shared = computed = cache_.open(held, cache_.find(tokens_, ""), "");
    cache_.copies_done();
  }
  ~Life() {
    if (held.is_open) end();
  }
  bool try_compute(std::int32_t count) {
    if (!cache_.try_extend(held, computed + count)) return false;
    cache_.begin_step(held);
    computed += count;
    if (computed == std::ssize(tokens_))
      cache_.commit_tail(held, tokens_, computed, 0);
    else
      cache_.commit(held, tokens_, computed, 0);
    check();
    return true;
  }
  void compute_all(std::int32_t step = 100) {
    while (computed < std::ssize(tokens_))
      ASSERT_TRUE(try_compute(std::min(step, static_cast<std::int32_t>(std::ssize(tokens_)) - computed)));
  }
  /// As many tokens as are known, at most `count`, or else one that is chosen.
  void advance(std::int32_t count) {
    const auto left = static_cast<std::int32_t>(std::ssize(tokens_)) - computed;
    if (left == 0) {
      generate({1});
    } else {
      ASSERT_TRUE(try_compute(std::min(left, count)));
    }
  }
  /// Tokens chosen after those known, computed with them.
  void generate(const std::vector<TokenId>& answer) {
    for (const TokenId token : answer) {
      tokens_.push_back(token);
      ASSERT_TRUE(try_compute(static_cast<std::int32_t>(std::ssize(tokens_)) - computed));
    }
  }
  void end() { cache_.close(held, tokens_, computed, 0); }
  void check() const {
    std::vector<const KvCache::Held*> holders = others;
    holders.push_back(&held);
    const auto intact = cache_.check_integrity(holders);
    EXPECT_TRUE(intact.ok()) << intact.error().message;
  }

  KvCache::Held held;
  std::int32_t computed = 0;
  std::int32_t shared = 0;
  std::vector<const KvCache::Held*> others;

 private:
  KvCache& cache_;
  std::vector<TokenId> tokens_;
};

void run(KvCache& cache, const std::vector<TokenId>& tokens) {
  Life life(cache, tokens);
  ASSERT_NO_FATAL_FAILURE(life.compute_all());
}

std::int32_t found(const KvCache& cache, const std::vector<TokenId>& tokens) {
  return cache.find(tokens, "").num_tokens;
}

TEST(KvCacheStates, a_hit_is_as_long_as_a_state_that_was_left_behind) {
  KvCache cache({.groups = {kFull, states(4)}, .num_pages = {40, 20}});
  ASSERT_NO_FATAL_FAILURE(run(cache, numbers(300)));
  struct Case {
    std::vector<TokenId> prompt;
    std::int32_t shared;
  };
  const Case cases[] = {
      {join(numbers(300), {7, 7}), 300},  // the end
      {numbers(301), 300},
      {numbers(300), 288},        // its last whole page, as a token has to be computed
      {parting_after(299), 288},  // not a part of the end
      {parting_after(287), 256},  // the eighth boundary
      {parting_after(256), 256},
      {parting_after(255), 128},  // not a part of a whole page
      {parting_after(128), 128},
      {parting_after(127), 0},
      {numbers(1), 0},
  };
  for (const Case& c : cases) EXPECT_EQ(found(cache, c.prompt), c.shared) << c.prompt.size();
  EXPECT_EQ(cache.find(numbers(301), "", false).num_tokens, 288);
  EXPECT_EQ(cache.pool(1).num_idle(), 4);  // boundaries 4, 8 and 9 and the end
}

TEST(KvCacheStates, who_goes_on_from_an_end_copies_it) {
  KvCache cache({.groups = {kFull, states(1)}, .num_pages = {40, 20}});
  ASSERT_NO_FATAL_FAILURE(run(cache, numbers(40)));
  KvCache::Held held;
  const auto tokens = numbers(60);
  EXPECT_EQ(cache.open(held, cache.find(tokens, ""), ""), 40);
  ASSERT_EQ(cache.copies(1).size(), 1U);
  EXPECT_EQ(cache.copies(1)[0].to, held.tables[1][1]);
  EXPECT_EQ(held.tables[1][0], kNoPage);
  EXPECT_NE(cache.copies(1)[0].from, held.tables[1][1]);
  cache.copies_done();
  ASSERT_TRUE(cache.try_extend(held, 60));
  cache.commit_tail(held, tokens, 60, 0);
  // While it goes on, its state is nobody's to share; that of the first one still is.
  EXPECT_EQ(found(cache, numbers(70)), 40);
  cache.close(held, tokens, 60, 0);
  EXPECT_EQ(found(cache, numbers(70)), 60);
  EXPECT_EQ(found(cache, parting_after(40)), 40);
}

TEST(KvCacheStates, a_sequence_holds_two_however_long_its_steps) {
  KvCache cache({.groups = {kFull, states(16)}, .num_pages = {400, 8}});
  Life life(cache, numbers(5000));
  ASSERT_TRUE(life.try_compute(500));
  ASSERT_TRUE(cache.try_extend(life.held, 1000));
  EXPECT_EQ(life.held.tables[1].size(), 32U);
  // Where it goes on from, where it ends and the boundary at 512.
  EXPECT_EQ(cache.pages_held(life.held, 1), 2);
  EXPECT_NE(life.held.tables[1][15], kNoPage);
  EXPECT_NE(life.held.tables[1][31], kNoPage);
  ASSERT_TRUE(life.try_compute(500));
  EXPECT_EQ(cache.pages_held(life.held, 1), 1);
  ASSERT_TRUE(cache.try_extend(life.held, 2000));
  EXPECT_EQ(cache.pages_held(life.held, 1), 3);  // 1536 as well
  EXPECT_NE(life.held.tables[1][47], kNoPage);
  ASSERT_NO_FATAL_FAILURE(life.compute_all(1000));
}

TEST(KvCacheStates, without_room_for_all_those_of_the_last_positions_are_kept) {
  KvCache cache({.groups = {kFull, states(1)}, .num_pages = {400, 5}});
  {
    Life life(cache, numbers(1000));
    ASSERT_TRUE(life.try_compute(1000));
  }
  EXPECT_EQ(found(cache, numbers(1001)), 1000);
  EXPECT_EQ(found(cache, parting_after(999)), 992);
  EXPECT_EQ(found(cache, parting_after(990)), 960);
  EXPECT_EQ(found(cache, parting_after(800)), 0);
}

TEST(KvCacheStates, the_least_recently_used_states_go_first) {
  KvCache cache({.groups = {kFull, states(16)}, .num_pages = {400, 5}});
  const auto conversation = [](TokenId first) { return numbers(40, first); };  // a whole page's and the end's
  for (const TokenId first : {1000, 2000, 3000}) ASSERT_NO_FATAL_FAILURE(run(cache, conversation(first)));
  ASSERT_NO_FATAL_FAILURE(run(cache, join(conversation(1000), {1})));  // used again; leaves an end of its own
  ASSERT_NO_FATAL_FAILURE(run(cache, conversation(4000)));
  EXPECT_EQ(found(cache, join(conversation(1000), {1, 1})), 41);
  EXPECT_EQ(found(cache, join(conversation(2000), {1})), 0);
  EXPECT_EQ(found(cache, join(conversation(3000), {1})), 40);
  EXPECT_EQ(found(cache, join(conversation(4000), {1})), 40);
}

TEST(KvCacheStates, a_state_is_left_where_prompts_part) {
  KvCache cache({.groups = {kFull, states(16)}, .num_pages = {400, 20}});
  const auto prompt = [](TokenId user) { return join(numbers(1500), numbers(100, user)); };
  ASSERT_NO_FATAL_FAILURE(run(cache, prompt(5000)));
  Life second(cache, prompt(6000));
  EXPECT_EQ(second.shared, 1024);  // 476 tokens again: less than the distance
  ASSERT_NO_FATAL_FAILURE(second.compute_all());
  EXPECT_EQ(found(cache, prompt(7000)), 1472);
}

TEST(KvCacheStates, a_state_is_left_where_someone_waits_for_it) {
  KvCache cache({.groups = {kFull, states(16)}, .num_pages = {400, 20}});
  Life first(cache, numbers(450));
  ASSERT_TRUE(first.try_compute(100));
  EXPECT_EQ(cache.num_shareable(first.held, 200), 192);
  EXPECT_EQ(cache.num_shareable(first.held, 90), 0);  // has gone past that
  cache.add_wish(first.held, 200);
  cache.add_wish(first.held, 90);
  ASSERT_NO_FATAL_FAILURE(first.compute_all());
  EXPECT_EQ(found(cache, parting_after(200)), 192);
  EXPECT_EQ(cache.num_shareable(first.held, 210), 192);
}

TEST(KvCacheStates, the_next_turn_and_the_same_turn_again_find_theirs) {
  KvCache cache({.groups = {kFull, states(16)}, .num_pages = {400, 20}});
  const auto prompt = numbers(100);
  const auto answer = numbers(47, 7000);
  {
    Life turn(cache, prompt);
    ASSERT_NO_FATAL_FAILURE(turn.compute_all());
    ASSERT_NO_FATAL_FAILURE(turn.generate(answer));
  }
  EXPECT_EQ(found(cache, join(join(prompt, answer), {1, 2})), 147);
  EXPECT_EQ(found(cache, prompt), 96);
  EXPECT_EQ(found(cache, join(prompt, numbers(50, 8000))), 96);  // its answer told differently
}

TEST(KvCacheStates, an_answer_that_ends_with_a_page_leaves_its_state) {
  KvCache cache({.groups = {kFull, states(16)}, .num_pages = {400, 20}});
  {
    Life turn(cache, numbers(100));
    ASSERT_NO_FATAL_FAILURE(turn.compute_all());
    ASSERT_NO_FATAL_FAILURE(turn.generate(numbers(28, 100)));
  }
  EXPECT_EQ(found(cache, numbers(130)), 128);
  EXPECT_EQ(found(cache, parting_after(127)), 96);
}

// A step may have left some layers' states after it and others' before it.
TEST(KvCacheStates, a_step_that_was_not_seen_to_its_end_spoils_the_state_of_a_partial_page_only) {
  for (const std::int32_t computed : {40, 64}) {
    for (const bool has_begun : {false, true}) {
      KvCache cache({.groups = {kFull, states(1)}, .num_pages = {40, 20}});
      Life life(cache, numbers(200));
      ASSERT_TRUE(life.try_compute(computed));
      ASSERT_TRUE(cache.try_extend(life.held, computed + 80));
      if (has_begun) cache.begin_step(life.held);
      life.end();
      EXPECT_EQ(found(cache, numbers(200)), has_begun ? computed / 32 * 32 : computed);
    }
  }
}

TEST(KvCacheStates, a_partial_page_goes_with_its_state) {
  KvCache cache({.groups = {kFull, states(16)}, .num_pages = {40, 3}});
  ASSERT_NO_FATAL_FAILURE(run(cache, numbers(40)));
  ASSERT_NO_FATAL_FAILURE(run(cache, numbers(20, 500)));
  EXPECT_EQ(cache.pool(0).num_idle(), 3);
  // They take the first prompt's two.
  Life other(cache, numbers(40, 1000)), another(cache, numbers(20, 2000));
  other.others = {&another.held};
  ASSERT_TRUE(other.try_compute(40));
  other.others.clear();
  another.others = {&other.held};
  ASSERT_TRUE(another.try_compute(20));
  EXPECT_EQ(found(cache, numbers(41)), 0);
  EXPECT_EQ(found(cache, numbers(21, 500)), 20);
  EXPECT_EQ(cache.pool(0).num_idle(), 2);  // 0 … 31 and the second prompt's
  other.end();
}

TEST(KvCacheStates, a_running_sequence_never_lacks_a_state) {
  for (const std::size_t distance : {1, 3, 16}) {
    for (const bool has_kv : {true, false}) {
      std::vector<PageGroupInfo> groups = {states(distance)};
      std::vector<std::int32_t> num_pages = {11};
      if (has_kv) {
        groups.insert(groups.begin(), kFull);
        num_pages.insert(num_pages.begin(), 1000);
      }
      KvCache cache({.groups = groups, .num_pages = num_pages});
      std::mt19937 random(static_cast<std::uint32_t>(distance));
      std::vector<std::unique_ptr<Life>> lives(5);
      for (int i = 0; i < 1500; ++i) {
        std::unique_ptr<Life>& life = lives[random() % lives.size()];
        if (life == nullptr) {
          std::vector<TokenId> tokens;
          const auto count = 1 + random() % 600;
          for (std::size_t t = 0; t < count; ++t) tokens.push_back(static_cast<TokenId>(random() % 200 == 0));
          life = std::make_unique<Life>(cache, tokens);
        } else if (random() % 10 == 0) {
          life.reset();
          continue;
        }
        life->others.clear();
        for (const auto& other : lives) {
          if (other != nullptr && other != life) life->others.push_back(&other->held);
        }
        if (random() % 3 == 0) {
          life->check();
          ASSERT_NO_FATAL_FAILURE(life->generate({static_cast<TokenId>(random() % 2)}));
        } else {
          ASSERT_NO_FATAL_FAILURE(life->advance(1 + static_cast<std::int32_t>(random() % 200)));
        }
      }
      lives.clear();
      cache.clear();
      EXPECT_EQ(cache.num_nodes(), 0U);
      for (std::size_t g = 0; g < cache.num_groups(); ++g) EXPECT_EQ(cache.pool(g).num_free(), num_pages[g]);
    }
  }
}

TEST(KvCacheStates, shrinks_to_what_running_sequences_are_promised) {
  KvCache cache({.groups = {kFull, states(1)}, .num_pages = {100, 20}});
  ASSERT_NO_FATAL_FAILURE(run(cache, numbers(300, 5000)));
  Life a(cache, numbers(100)), b(cache, numbers(100, 1000));
  a.others = {&b.held};
  ASSERT_TRUE(a.try_compute(40));
  b.others = {&a.held};
  ASSERT_TRUE(b.try_compute(50));
  std::vector<KvCache::Held*> holders{&a.held, &b.held};
  EXPECT_FALSE(cache.try_prepare_shrink(1, 3, holders));
  ASSERT_TRUE(cache.try_prepare_shrink(1, 4, holders));
  cache.copies_done();
  cache.finish_shrink(1, 4);
  a.check();
  ASSERT_TRUE(a.try_compute(60));
  ASSERT_TRUE(b.try_compute(50));
  a.end();
  b.others.clear();
  b.check();
}

TEST(KvCacheStates, holds_no_more_however_many_prompts_pass) {
  KvCache cache({.groups = {{.page_bytes = 2, .window_tokens = 50}, states(5)}, .num_pages = {30, 12}});
  std::mt19937 random(5);
  for (int i = 0; i < 2000; ++i) {
    std::vector<TokenId> tokens;
    const auto count = 1 + random() % 300;
    for (std::size_t t = 0; t < count; ++t) tokens.push_back(static_cast<TokenId>(random() % 40 == 0));
    ASSERT_NO_FATAL_FAILURE(run(cache, tokens));
  }
  cache.clear();
  EXPECT_EQ(cache.num_nodes(), 0U);
  EXPECT_EQ(cache.pool(0).num_free(), 30);
  EXPECT_EQ(cache.pool(1).num_free(), 12);
}

}  // namespace
}  // namespace mlxd
