#include "runtime/pool_policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace mlxd {
namespace {

using namespace std::chrono_literals;
using ChoreKind = PoolPolicy::Chore::Kind;
using State = PoolPolicy::State;

// The policy with a clock and someone who does at once what it says, writing it down: "load a 40",
// "resize a 60", "unload a".
class Pool {
 public:
  explicit Pool(PoolSettings settings) : policy(settings) {}
  explicit Pool(std::size_t budget) : Pool(PoolSettings{.budget_bytes = budget}) {}

  void know(const std::string& name, std::size_t fixed, std::size_t least, std::size_t most) {
    policy.know(name, {.fixed_bytes = fixed, .least_bytes = least, .usual_bytes = least, .most_bytes = most});
  }
  void know(const std::string& name, std::size_t bytes) { know(name, bytes, bytes, bytes); }

  /// The number of the wish.
  PoolPolicy::Ticket ask(const std::string& name, PoolPolicy::AcquireOptions options = {}) {
    const PoolPolicy::Ticket ticket = next_ticket++;
    const auto asked = policy.acquire(name, ticket, clock.now(), options);
    if (!asked.ok())
      outcomes[ticket] = asked.error().message;
    else if (*asked)
      outcomes[ticket] = "has " + name;
    else
      names[ticket] = name;
    run();
    return ticket;
  }
  /// As `ask`, of memory for something else; "has " once it is there.
  PoolPolicy::Ticket reserve(std::size_t bytes) {
    const PoolPolicy::Ticket ticket = next_ticket++;
    if (const auto reserved = policy.reserve(ticket, bytes); !reserved.ok())
      outcomes[ticket] = reserved.error().message;
    run();
    return ticket;
  }
  void give_back(PoolPolicy::Ticket ticket) {
    policy.give_back(ticket);
    run();
  }
  void release(const std::string& name) {
    policy.release(name, clock.now());
    run();
  }
  void advance(Duration by) {
    clock.advance(by);
    run();
  }
  /// What became of a wish; "" while it waits.
  std::string outcome(PoolPolicy::Ticket ticket) const {
    const auto found = outcomes.find(ticket);
    return found == outcomes.end() ? "" : found->second;
  }
  std::string take_log() { return std::exchange(log, {}); }
  PoolPolicy::View view(const std::string& name) const { return *policy.view(name, clock.now()); }
  bool is_ready(const std::string& name) const { return view(name).state == State::kReady; }

  void run() {
    for (int i = 0; i < 1000; ++i) {
      const auto chore = policy.next_chore(clock.now());
      check();
      for (const PoolPolicy::Answer& answer : policy.take_answers())
        outcomes[answer.ticket] = answer.error ? answer.error->message : "has " + names[answer.ticket];
      if (chore) {
        carry_out(*chore);
        check();
      } else if (!policy.wake_at() || *policy.wake_at() > clock.now()) {
        return;
      }
    }
    FAIL() << "the policy does not come to rest: " << log;
  }

  void carry_out(const PoolPolicy::Chore& chore) {
    switch (chore.kind) {
      case ChoreKind::kLoad:
        log += "load " + chore.name + "; ";
        if (holds_loads) return;
        finish_load(chore.name);
        return;
      case ChoreKind::kResize:
        log += "resize " + chore.name + " " + std::to_string(chore.bytes) + "; ";
        policy.resized(chore.name, chore.bytes);
        return;
      case ChoreKind::kUnload:
        log += "unload " + chore.name + "; ";
        EXPECT_EQ(view(chore.name).leases, 0) << chore.name;
        policy.unloaded(chore.name);
        return;
    }
  }
  void finish_load(const std::string& name) {
    const MemoryNeeds needs = real.contains(name) ? real[name] : view(name).needs;
    if (const auto quota = policy.settle(name, needs); !quota.ok())
      policy.load_failed(name, quota.error(), clock.now());
    else if (failing.contains(name))
      policy.load_failed(name, corrupt_data(name + " is torn"), clock.now());
    else
      policy.loaded(name, clock.now());
  }
  void check() {
    const auto sound = policy.check_integrity();
    EXPECT_TRUE(sound.ok()) << sound.error().message;
  }

  PoolPolicy policy;
  FakeClock clock;
  std::string log;
  std::map<PoolPolicy::Ticket, std::string> outcomes, names;
  std::set<std::string> failing;
  std::map<std::string, MemoryNeeds> real;  // where it is not as known
  bool holds_loads = false;                 // until finish_load
  PoolPolicy::Ticket next_ticket = 1;
};

TEST(PoolPolicy, loads_once_for_all_who_ask_and_grants_at_once_what_is_there) {
  Pool pool(100);
  pool.know("a", 40);
  pool.holds_loads = true;
  const auto first = pool.ask("a"), second = pool.ask("a");
  EXPECT_EQ(pool.take_log(), "load a; ");
  EXPECT_EQ(pool.outcome(first), "");
  EXPECT_EQ(pool.view("a").waiting, 2U);
  pool.finish_load("a");
  pool.run();
  EXPECT_EQ(pool.outcome(first), "has a");
  EXPECT_EQ(pool.outcome(second), "has a");
  EXPECT_EQ(pool.outcome(pool.ask("a")), "has a");
  EXPECT_EQ(pool.view("a").leases, 3);
  EXPECT_EQ(pool.take_log(), "");
}

TEST(PoolPolicy, evicts_the_least_recently_used_idle_model) {
  Pool pool(100);
  for (const char* name : {"a", "b", "c"}) pool.know(name, 40);
  for (const char* name : {"a", "b"}) {
    pool.ask(name);
    pool.release(name);
    pool.advance(1s);
  }
  pool.ask("a");
  pool.release("a");
  pool.advance(1s);
  pool.take_log();
  EXPECT_EQ(pool.outcome(pool.ask("c")), "has c");
  EXPECT_EQ(pool.take_log(), "unload b; load c; ");
}

TEST(PoolPolicy, evicts_the_least_often_used_and_forgets_old_uses) {
  PoolSettings settings{.budget_bytes = 100, .eviction = Eviction::kLfu};
  Pool pool(settings);
  for (const char* name : {"a", "b", "c"}) pool.know(name, 40);
  const auto use = [&](const char* name) {
    pool.ask(name);
    pool.release(name);
    pool.advance(1s);
  };
  for (int i = 0; i < 5; ++i) use("a");
  use("b");
  pool.take_log();
  use("c");  // b was used later, but less often
  EXPECT_EQ(pool.take_log(), "unload b; load c; ");
  pool.advance(3h);
  use("c");
  use("b");
  EXPECT_EQ(pool.take_log(), "unload a; load b; ") << "five uses three hours ago are less than one now";
}

TEST(PoolPolicy, with_ttl_the_next_to_end_goes_first) {
  PoolSettings settings{.budget_bytes = 100, .eviction = Eviction::kTtl};
  Pool pool(settings);
  for (const char* name : {"a", "b", "c"}) pool.know(name, 40);
  pool.ask("a", {.keep_alive = 10min});
  pool.release("a");
  pool.advance(1s);
  pool.ask("b", {.keep_alive = 1min});
  pool.release("b");
  pool.advance(1s);
  pool.take_log();
  pool.ask("c");
  EXPECT_EQ(pool.take_log(), "unload b; load c; ");
  pool.release("c");
  // By itself five minutes, as nothing was said.
  pool.advance(5min - 1s);
  EXPECT_TRUE(pool.is_ready("c"));
  pool.advance(1s);
  EXPECT_FALSE(pool.is_ready("c"));
  EXPECT_TRUE(pool.is_ready("a"));
}

TEST(PoolPolicy, keeps_a_model_as_long_as_its_last_request_says) {
  PoolSettings settings{.budget_bytes = 100, .keep_alive = 5min};
  Pool pool(settings);
  pool.know("a", 40);
  pool.ask("a", {.keep_alive = 0s});
  EXPECT_TRUE(pool.is_ready("a"));
  pool.release("a");
  EXPECT_FALSE(pool.is_ready("a"));
  pool.ask("a");
  pool.release("a");
  pool.advance(4min);
  EXPECT_EQ(pool.view("a").keep_alive_left, Duration(1min));
  pool.advance(1min);
  EXPECT_FALSE(pool.is_ready("a"));
  pool.ask("a", {.keep_alive = kKeepForever});
  pool.release("a");
  pool.advance(std::chrono::hours(1000));
  EXPECT_TRUE(pool.is_ready("a"));
  EXPECT_FALSE(pool.view("a").keep_alive_left.has_value());
  // A request that says nothing leaves what the one before it said.
  pool.ask("a");
  pool.release("a");
  pool.advance(std::chrono::hours(1000));
  EXPECT_TRUE(pool.is_ready("a"));
}

TEST(PoolPolicy, never_evicts_pinned_and_preloaded_models) {
  Pool pool(100);
  for (const char* name : {"a", "b", "c", "d"}) pool.know(name, 40);
  ASSERT_TRUE(pool.policy.preload("a", pool.clock.now()).ok());
  pool.policy.set_preloaded("a", true);
  pool.run();
  pool.ask("b");
  pool.release("b");
  pool.policy.set_pinned("b", true);
  pool.advance(1s);
  const std::string refusal = pool.outcome(pool.ask("c"));
  EXPECT_NE(refusal.find("'c' needs 0.00 GB"), std::string::npos) << refusal;
  EXPECT_NE(refusal.find("held by pinned ones"), std::string::npos) << refusal;
  EXPECT_TRUE(pool.is_ready("a") && pool.is_ready("b"));
  pool.policy.set_pinned("b", false);
  EXPECT_EQ(pool.outcome(pool.ask("c")), "has c");
  EXPECT_FALSE(pool.is_ready("b"));
  // By hand everything goes.
  pool.policy.unload("a");
  pool.run();
  EXPECT_FALSE(pool.is_ready("a"));
}

TEST(PoolPolicy, tells_needs_and_availability) {
  Pool pool(std::size_t{4'000'000'000});
  pool.know("large", 5'500'000'000, 6'250'000'000, 9'000'000'000);
  EXPECT_EQ(
      pool.outcome(pool.ask("large")),
      "model 'large' needs 6.25 GB (5.50 GB of weights and scratch, 0.75 GB of K/V at the least), the "
      "memory for models is 4.00 GB: raise --memory, ask for a shorter --context or use a smaller model");
  EXPECT_EQ(pool.take_log(), "");
}

TEST(PoolPolicy, under_steady_traffic_another_model_gets_its_turn_in_time_and_gives_it_back) {
  Pool pool(100);
  pool.know("a", 60);
  pool.know("b", 60);
  pool.ask("a");
  pool.advance(20s);
  const auto b = pool.ask("b");
  // Requests for a go on, overlapping.
  for (int i = 0; i < 49; ++i) {
    EXPECT_EQ(pool.outcome(pool.ask("a")), "has a");
    pool.release("a");
    pool.advance(100ms);
  }
  EXPECT_EQ(pool.outcome(b), "");
  pool.advance(100ms);  // five seconds
  EXPECT_TRUE(pool.view("a").closing);
  const auto late = pool.ask("a");
  EXPECT_EQ(pool.outcome(late), "") << "queues behind the swap";
  EXPECT_EQ(pool.outcome(b), "");
  pool.release("a");
  EXPECT_EQ(pool.outcome(b), "has b");
  EXPECT_EQ(pool.take_log(), "load a; unload a; load b; ");
  // Now b is busy, and a waits as long, counted from when b came.
  for (int i = 0; i < 49; ++i) {
    EXPECT_EQ(pool.outcome(pool.ask("b")), "has b");
    pool.release("b");
    pool.advance(100ms);
  }
  EXPECT_EQ(pool.outcome(late), "");
  pool.advance(100ms);
  const auto late_b = pool.ask("b");
  EXPECT_EQ(pool.outcome(late_b), "");
  pool.release("b");
  EXPECT_EQ(pool.outcome(late), "has a");
  EXPECT_EQ(pool.take_log(), "unload b; load a; ");
  pool.release("a");
  pool.advance(100ms);
  EXPECT_EQ(pool.outcome(late_b), "has b");
}

TEST(PoolPolicy, a_pause_between_requests_is_no_invitation_but_idleness_is) {
  Pool pool(100);
  pool.know("a", 60);
  pool.know("b", 60);
  pool.ask("a");
  pool.release("a");
  const auto b = pool.ask("b");
  pool.advance(50ms);
  EXPECT_EQ(pool.outcome(pool.ask("a")), "has a");
  pool.release("a");
  EXPECT_EQ(pool.outcome(b), "");
  pool.advance(100ms);
  EXPECT_EQ(pool.outcome(b), "has b");
}

TEST(PoolPolicy, a_small_model_passes_one_that_waits_for_a_swap) {
  Pool pool(100);
  pool.know("a", 60);
  pool.know("b", 60);
  pool.know("small", 30);
  pool.ask("a");
  const auto b = pool.ask("b");
  EXPECT_EQ(pool.outcome(pool.ask("small")), "has small");
  pool.advance(6s);
  EXPECT_TRUE(pool.view("a").closing);
  // From here on room is gathered for b.
  pool.know("other", 5);
  const auto other = pool.ask("other");
  EXPECT_EQ(pool.outcome(other), "");
  pool.release("small");
  pool.advance(1s);
  pool.release("a");
  EXPECT_EQ(pool.outcome(b), "has b");
  EXPECT_EQ(pool.outcome(other), "has other");
}

TEST(PoolPolicy, opens_again_when_nobody_waits_for_the_swap_any_more) {
  Pool pool(100);
  pool.know("a", 60);
  pool.know("b", 60);
  pool.ask("a");
  const auto b = pool.ask("b");
  pool.advance(5s);
  const auto late = pool.ask("a");
  EXPECT_EQ(pool.outcome(late), "");
  EXPECT_TRUE(pool.policy.withdraw(b));
  pool.run();
  EXPECT_EQ(pool.outcome(late), "has a");
  EXPECT_FALSE(pool.policy.withdraw(b));
}

TEST(PoolPolicy, tells_every_waiter_why_a_load_failed_and_for_a_while_those_who_come_after) {
  Pool pool(100);
  pool.know("a", 40);
  pool.failing = {"a"};
  pool.holds_loads = true;
  const auto first = pool.ask("a"), second = pool.ask("a");
  pool.finish_load("a");
  pool.run();
  EXPECT_EQ(pool.outcome(first), "a is torn");
  EXPECT_EQ(pool.outcome(second), "a is torn");
  EXPECT_EQ(pool.outcome(pool.ask("a")), "a is torn");
  EXPECT_EQ(pool.take_log(), "load a; ") << "one load, no storm";
  EXPECT_EQ(pool.view("a").failure->message, "a is torn");
  pool.advance(5s);
  pool.failing = {};
  const auto later = pool.ask("a");
  EXPECT_EQ(pool.take_log(), "load a; ");
  pool.finish_load("a");
  pool.run();
  EXPECT_EQ(pool.outcome(later), "has a");
  EXPECT_FALSE(pool.view("a").failure.has_value());
}

TEST(PoolPolicy, makes_room_once_it_knows_that_a_model_needs_more_than_its_files_say) {
  Pool pool(100);
  pool.know("a", 50);
  pool.know("b", 40);
  pool.ask("a");
  pool.release("a");
  pool.advance(1s);
  pool.real["b"] = {60, 60, 60, 60};
  const auto b = pool.ask("b");
  EXPECT_EQ(pool.take_log(), "load a; load b; unload a; load b; ");
  EXPECT_EQ(pool.outcome(b), "has b");
  // Where no room can help, the error says so, and once.
  pool.know("c", 40);
  pool.real["c"] = {120, 120, 120, 120};
  pool.release("b");
  pool.advance(1s);
  pool.take_log();
  EXPECT_NE(pool.outcome(pool.ask("c")).find("needs"), std::string::npos);
  EXPECT_EQ(pool.take_log(), "load c; ");
}

TEST(PoolPolicy, gives_kv_to_those_in_need_and_takes_it_back_before_evicting) {
  constexpr std::size_t kMega = 1U << 20U;
  Pool pool(1000 * kMega);
  pool.know("a", 100 * kMega, 200 * kMega, 900 * kMega);
  pool.know("b", 100 * kMega, 200 * kMega, 900 * kMega);
  pool.ask("a");
  EXPECT_EQ(pool.view("a").quota_bytes, 200 * kMega);
  for (int i = 0; i < 20; ++i) {
    pool.policy.press("a");
    pool.run();
  }
  EXPECT_EQ(pool.view("a").quota_bytes, 900 * kMega);
  pool.take_log();
  pool.ask("b");
  EXPECT_EQ(pool.take_log(), "resize a " + std::to_string(800 * kMega) + "; load b; ");
  // An idle model's surplus goes to one that needs it; what it needs for a conversation stays.
  pool.release("a");
  for (int i = 0; i < 20; ++i) {
    pool.policy.press("b");
    pool.run();
  }
  EXPECT_EQ(pool.view("a").quota_bytes, 200 * kMega);
  EXPECT_EQ(pool.view("b").quota_bytes, 800 * kMega);
}

TEST(PoolPolicy, begins_with_the_usual_where_there_is_room) {
  Pool pool(1000);
  pool.policy.know("a", {.fixed_bytes = 100, .least_bytes = 200, .usual_bytes = 700, .most_bytes = 900});
  pool.policy.know("b", {.fixed_bytes = 100, .least_bytes = 200, .usual_bytes = 700, .most_bytes = 900});
  pool.ask("a");
  EXPECT_EQ(pool.view("a").quota_bytes, 700U);
  pool.ask("b");
  EXPECT_EQ(pool.view("b").quota_bytes, 300U);
}

TEST(PoolPolicy, may_spend_a_given_budget_from_the_start) {
  PoolSettings settings{.budget_bytes = 1000, .spend_budget = true};
  Pool pool(settings);
  pool.know("a", 100, 200, 900);
  pool.ask("a");
  EXPECT_EQ(pool.view("a").quota_bytes, 600U);
}

TEST(PoolPolicy, a_smaller_budget_takes_kv_first_and_idle_models_then) {
  PoolSettings settings{.budget_bytes = 1000, .spend_budget = true};
  Pool pool(settings);
  pool.know("a", 100, 200, 900);
  pool.know("b", 100, 200, 900);
  pool.ask("a");  // 600
  pool.ask("b");  // 300
  pool.release("b");
  pool.advance(1s);
  pool.take_log();
  const auto shrink_to = [&](std::size_t bytes) {
    settings.budget_bytes = bytes;
    const auto set = pool.policy.set_settings(settings, pool.clock.now());
    pool.run();
    return set;
  };
  ASSERT_TRUE(shrink_to(500).ok());
  EXPECT_LE(pool.policy.committed_bytes(), 500U);
  EXPECT_EQ(pool.take_log().find("unload"), std::string::npos);
  ASSERT_TRUE(shrink_to(300).ok());
  EXPECT_EQ(pool.take_log(), "unload b; ");
  // The one in use stays until it is not.
  ASSERT_TRUE(shrink_to(100).ok());
  EXPECT_TRUE(pool.is_ready("a"));
  EXPECT_EQ(pool.policy.committed_bytes(), 200U);
  pool.release("a");
  pool.advance(100ms);
  EXPECT_FALSE(pool.is_ready("a"));
  // A pinned one is a reason to refuse.
  ASSERT_TRUE(shrink_to(1000).ok());
  pool.ask("a");
  pool.policy.set_pinned("a", true);
  const auto refused = shrink_to(150);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kOutOfMemory);
  EXPECT_EQ(pool.policy.settings().budget_bytes, 1000U);
}

TEST(PoolPolicy, unloads_by_hand_when_the_last_request_is_answered) {
  Pool pool(100);
  pool.know("a", 40);
  pool.ask("a");
  pool.policy.unload("a");
  pool.run();
  EXPECT_TRUE(pool.is_ready("a"));
  const auto next = pool.ask("a");
  EXPECT_EQ(pool.outcome(next), "");
  pool.release("a");
  EXPECT_EQ(pool.outcome(next), "has a");
  EXPECT_EQ(pool.take_log(), "load a; unload a; load a; ");
}

TEST(PoolPolicy, reserves_what_is_free_and_what_idle_models_have_but_nothing_that_is_in_use) {
  Pool pool(100);
  pool.know("used", 30);
  pool.know("idle", 20, 30, 60);
  pool.know("pinned", 10);
  pool.ask("used");
  for (const char* name : {"idle", "pinned"}) {
    pool.ask(name);
    pool.release(name);
  }
  pool.policy.set_pinned("pinned", true);
  pool.advance(1s);
  pool.take_log();
  // Free are 30.
  const auto first = pool.reserve(20);
  EXPECT_EQ(pool.outcome(first), "has ");
  EXPECT_EQ(pool.policy.reserved_bytes(), 20U);
  EXPECT_EQ(pool.policy.committed_bytes(), 90U);
  const auto second = pool.reserve(40);
  EXPECT_EQ(pool.outcome(second), "has ");
  EXPECT_EQ(pool.take_log(), "unload idle; ");
  // Only what is used could go for a third; it goes by itself, and nobody else waits for that.
  const auto third = pool.reserve(25);
  pool.advance(1h);
  EXPECT_EQ(pool.outcome(third), "");
  EXPECT_FALSE(pool.view("used").closing);
  EXPECT_EQ(pool.outcome(pool.ask("used")), "has used");
  pool.give_back(first);
  EXPECT_EQ(pool.outcome(third), "");
  pool.release("used");
  pool.release("used");
  pool.advance(1s);
  EXPECT_EQ(pool.take_log(), "unload used; ");
  EXPECT_EQ(pool.outcome(third), "has ");
  // A model waits for its end as for a model in use.
  const auto model = pool.ask("used");
  EXPECT_EQ(pool.outcome(model), "");
  pool.give_back(second);
  EXPECT_EQ(pool.outcome(model), "has used");
}

TEST(PoolPolicy, refuses_to_reserve_what_can_never_be_there_and_lets_models_go_first) {
  Pool pool(100);
  pool.know("pinned", 30);
  pool.know("model", 60);
  pool.ask("pinned");
  pool.release("pinned");
  pool.policy.set_pinned("pinned", true);
  const std::string refused = pool.outcome(pool.reserve(71));
  EXPECT_NE(refused.find("0.00 GB are held by pinned ones"), std::string::npos) << refused;
  const auto held = pool.reserve(50);
  const auto waiting = pool.reserve(20);
  EXPECT_EQ(pool.outcome(waiting), "has ");
  pool.give_back(waiting);
  const auto behind = pool.reserve(30);
  EXPECT_EQ(pool.outcome(behind), "");
  const auto model = pool.ask("model");
  pool.give_back(held);
  EXPECT_EQ(pool.outcome(model), "has model");
  EXPECT_EQ(pool.outcome(behind), "");
  pool.give_back(behind);
  EXPECT_EQ(pool.policy.reserved_bytes(), 0U);
}

TEST(PoolPolicy, bounds_its_queue_and_the_time_in_it) {
  PoolSettings settings{.budget_bytes = 100, .max_waiting = 2};
  Pool pool(settings);
  pool.know("a", 40);
  pool.holds_loads = true;
  const auto first = pool.ask("a", {.deadline = pool.clock.now() + 3s});
  const auto second = pool.ask("a");
  EXPECT_NE(pool.outcome(pool.ask("a")).find("try again later"), std::string::npos);
  pool.advance(3s);
  EXPECT_NE(pool.outcome(first).find("time limit"), std::string::npos);
  EXPECT_EQ(pool.outcome(second), "");
}

// Random lives: models of all sizes come, are used, pinned, told to go; budgets change; loads fail. After
// every step all must agree, and at the end everyone has been answered.
TEST(PoolPolicy, survives_random_lives) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto draw = [&](int below) { return static_cast<int>(random() % static_cast<std::uint64_t>(below)); };
  for (int life = 0; life < 60; ++life) {
    PoolSettings settings{.budget_bytes = 100U + static_cast<std::size_t>(draw(200)),
                          .spend_budget = draw(2) == 0,
                          .eviction = static_cast<Eviction>(draw(3)),
                          .swap_wait = std::chrono::milliseconds(draw(3000)),
                          .max_waiting = 64};
    if (draw(2) == 0) settings.keep_alive = std::chrono::seconds(draw(20));
    Pool pool(settings);
    std::vector<std::string> models;
    for (int i = 0; i < 5; ++i) {
      models.push_back(std::string(1, static_cast<char>('a' + i)));
      const auto fixed = static_cast<std::size_t>(10 + draw(60));
      const std::size_t least = fixed + static_cast<std::size_t>(draw(30));
      pool.know(models.back(), fixed, least, least + static_cast<std::size_t>(draw(100)));
      if (draw(5) == 0) pool.real[models.back()] = {fixed + 5, least + 5, least + 5, least + 50};
      if (draw(8) == 0) pool.failing.insert(models.back());
    }
    std::vector<std::pair<PoolPolicy::Ticket, std::string>> asked;
    std::map<PoolPolicy::Ticket, std::string> held;
    std::set<PoolPolicy::Ticket> seen;
    const auto collect = [&] {
      for (const auto& [ticket, outcome] : pool.outcomes) {
        if (seen.insert(ticket).second && outcome.starts_with("has ")) held[ticket] = outcome.substr(4);
      }
      std::map<std::string, int> leases;
      for (const auto& [ticket, name] : held) ++leases[name];
      for (const std::string& name : models) {
        ASSERT_EQ(pool.view(name).leases, leases[name]) << name;
        ASSERT_TRUE(leases[name] == 0 || pool.is_ready(name)) << name << " was evicted in use";
      }
    };
    std::size_t largest = settings.budget_bytes;
    for (int step = 0; step < 400; ++step) {
      const std::string& name = models[static_cast<std::size_t>(draw(5))];
      switch (draw(14)) {
        case 0:
          pool.policy.set_pinned(name, draw(4) == 0);
          break;
        case 1:
          if (draw(4) == 0) pool.policy.unload(name);
          pool.run();
          break;
        case 2:
          settings.budget_bytes = 80U + static_cast<std::size_t>(draw(220));
          if (pool.policy.set_settings(settings, pool.clock.now()).ok())
            largest = std::max(largest, settings.budget_bytes);
          else
            settings.budget_bytes = pool.policy.settings().budget_bytes;
          pool.run();
          break;
        case 3:
          if (pool.is_ready(name)) pool.policy.press(name);
          pool.run();
          break;
        case 4:
        case 5:
        case 6:
          asked.emplace_back(pool.ask(name), name);
          break;
        case 7:
          if (!asked.empty()) {
            const auto ticket = asked[static_cast<std::size_t>(draw(static_cast<int>(asked.size())))].first;
            if (pool.policy.withdraw(ticket)) pool.outcomes[ticket] = "withdrawn";
            pool.run();
          }
          break;
        case 8:
        case 9:
        case 10:
        case 11:
          if (!held.empty()) {
            auto lease = held.begin();
            std::advance(lease, draw(static_cast<int>(held.size())));
            const std::string released = lease->second;
            held.erase(lease);
            pool.release(released);
          }
          break;
        default:
          pool.advance(std::chrono::milliseconds(draw(2000)));
      }
      collect();
      if (::testing::Test::HasFailure()) return;
      ASSERT_LE(pool.policy.committed_bytes(), largest);
    }
    // Everyone lets go, time passes: no wish may be left.
    for (const std::string& name : models) pool.policy.set_pinned(name, false);
    for (int i = 0; i < 200; ++i) {
      while (!held.empty()) {
        const std::string released = held.begin()->second;
        held.erase(held.begin());
        pool.release(released);
        collect();
      }
      pool.advance(1s);
      collect();
    }
    for (const auto& [ticket, name] : asked) EXPECT_NE(pool.outcome(ticket), "") << name;
    EXPECT_LE(pool.policy.committed_bytes(), pool.policy.settings().budget_bytes);
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace mlxd
