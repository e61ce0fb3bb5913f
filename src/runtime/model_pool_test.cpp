#include "runtime/model_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace mlxd {
namespace {

using namespace std::chrono_literals;

// What a fake machine holds: every model says when it comes, changes and goes.
class Machine {
 public:
  void add(std::size_t bytes) {
    const std::size_t now = used_.fetch_add(bytes) + bytes;
    std::size_t most = most_.load();
    while (now > most && !most_.compare_exchange_weak(most, now)) {
    }
  }
  void remove(std::size_t bytes) { used_ -= bytes; }
  std::size_t used() const { return used_; }
  std::size_t most() const { return most_; }

 private:
  std::atomic<std::size_t> used_{0}, most_{0};
};

class FakeModel final : public PooledModel {
 public:
  FakeModel(Machine& machine, std::size_t bytes) : machine_(machine), bytes_(bytes) { machine_.add(bytes); }
  ~FakeModel() override {
    EXPECT_EQ(users.load(), 0) << "unloaded in use";
    machine_.remove(bytes_);
  }
  ModelMemory memory() const override { return {.weight_bytes = bytes_}; }
  EngineStats stats() const override {
    EngineStats stats;
    stats.pages_total = 8;
    stats.pages_used = users > 1 ? 8 : 1;
    return stats;
  }
  Result<void> set_quota(std::size_t bytes) override {
    if (bytes > bytes_)
      machine_.add(bytes - bytes_);
    else
      machine_.remove(bytes_ - bytes);
    bytes_ = bytes;
    return {};
  }
  void end_requests(const Error& reason) override {
    EXPECT_EQ(reason.kind, ErrorKind::kUnavailable);
    ended = true;
  }

  std::atomic<int> users{0};
  std::atomic<bool> ended{false};

 private:
  Machine& machine_;
  std::atomic<std::size_t> bytes_;
};

class ModelPoolTest : public ::testing::Test {
 protected:
  ModelPool& start(const PoolSettings& settings) {
    ModelPool::Options options;
    options.settings = settings;
    options.estimate = [this](const ModelSource& source, const PoolSettings&,
                              std::size_t) -> Result<MemoryNeeds> {
      if (!needs_.contains(source.name)) return corrupt_data(source.name + " has no config.json");
      return needs_.at(source.name);
    };
    options.load = [this](const ModelSource& source, ModelPool::Load& load) {
      return load_model(source, load);
    };
    pool_ = std::make_unique<ModelPool>(std::move(options));
    return *pool_;
  }
  void know(const std::string& name, std::size_t fixed, std::size_t least, std::size_t most) {
    needs_[name] = {fixed, least, least, most};
  }

  Result<std::unique_ptr<PooledModel>> load_model(const ModelSource& source, ModelPool::Load& load) {
    ++loads_;
    load.enter(LoadStep::kReading, 0.5F);
    while (held_ && !load.stop()) std::this_thread::yield();
    if (load.stop()) return Error(ErrorKind::kCancelled, "stopped");
    if (source.name == "torn") return corrupt_data("torn: weights end too early");
    if (source.name == "throws") throw std::runtime_error("a library gave up");
    load.enter(LoadStep::kPreparing);
    const std::size_t quota = TRY(load.settle(needs_.at(source.name)));
    return std::unique_ptr<PooledModel>(std::make_unique<FakeModel>(machine_, quota));
  }

  std::future<Result<PoolLease>> ask(const std::string& name, ModelPool::AcquireOptions options = {}) {
    auto promise = std::make_shared<std::promise<Result<PoolLease>>>();
    auto future = promise->get_future();
    pool_->acquire({name, "/models/" + name}, options,
                   [promise](Result<PoolLease> lease) { promise->set_value(std::move(lease)); });
    return future;
  }
  std::future<Result<void>> unload(const std::string& name, ModelPool::UnloadMode mode) {
    auto promise = std::make_shared<std::promise<Result<void>>>();
    auto future = promise->get_future();
    pool_->unload(name, mode, [promise](const Result<void>& done) { promise->set_value(done); });
    return future;
  }

  Machine machine_;
  std::map<std::string, MemoryNeeds> needs_;
  std::atomic<bool> held_{false};  // loads
  std::atomic<int> loads_{0};
  std::unique_ptr<ModelPool> pool_;
};

TEST_F(ModelPoolTest, one_load_serves_all_and_its_steps_are_told_to_those_who_come_late) {
  know("a", 10, 20, 30);
  ModelPool& pool = start({.budget_bytes = 100});
  held_ = true;
  auto first = ask("a"), second = ask("a");
  while (loads_ == 0) std::this_thread::yield();
  std::promise<void> over;
  std::string steps;
  EXPECT_NE(pool.feed("a")->follow([&](const LoadEvent& event) {
    steps += std::string(to_string(event.step)) + " ";
    if (is_last(event.step)) over.set_value();
  }),
            0U);
  held_ = false;
  const PoolLease lease = first.get().take_value();
  EXPECT_EQ(second.get().take_value().get(), lease.get());
  over.get_future().get();
  EXPECT_EQ(steps, "waiting reading reading preparing ready ");
  std::string again;
  EXPECT_EQ(pool.feed("a")->follow(
                [&](const LoadEvent& event) { again += std::string(to_string(event.step)) + " "; }),
            0U);
  EXPECT_EQ(again, steps);
  EXPECT_EQ(loads_, 1);
  const auto status = pool.status("a");
  ASSERT_TRUE(status);
  EXPECT_EQ(status->requests, 2U);
  EXPECT_EQ(status->num_loads, 1U);
  EXPECT_EQ(status->folder, "/models/a");
  EXPECT_EQ(pool.status().committed_bytes, 20U);
}

TEST_F(ModelPoolTest, tells_all_who_wait_why_a_load_failed_and_keeps_the_reason) {
  know("torn", 10, 10, 10);
  know("throws", 10, 10, 10);
  ModelPool& pool = start({.budget_bytes = 100});
  held_ = true;
  auto first = ask("torn"), second = ask("torn");
  held_ = false;
  for (auto* future : {&first, &second}) {
    const auto outcome = future->get();
    ASSERT_FALSE(outcome.ok());
    EXPECT_EQ(outcome.error().message, "torn: weights end too early");
  }
  EXPECT_EQ(ask("torn").get().error().message, "torn: weights end too early");
  EXPECT_EQ(loads_, 1) << "no storm";
  const auto status = pool.status("torn");
  ASSERT_TRUE(status && status->view.failure);
  EXPECT_EQ(status->view.failure->message, "torn: weights end too early");
  EXPECT_GT(status->failed_at, 0);
  EXPECT_NE(ask("throws").get().error().message.find("a library gave up"), std::string::npos);
  EXPECT_EQ(ask("absent").get().error().message, "absent has no config.json");
  EXPECT_TRUE(pool.status("absent")->view.failure.has_value());
}

TEST_F(ModelPoolTest, swaps_without_holding_both) {
  know("a", 40, 60, 60);
  know("b", 40, 60, 60);
  start({.budget_bytes = 100, .settle = 0ms});
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(ask(i % 2 == 0 ? "a" : "b").get().ok());
  EXPECT_LE(machine_.most(), 100U);
  EXPECT_EQ(loads_, 6);
}

TEST_F(ModelPoolTest, unloads_when_those_who_use_it_are_done_or_cuts_them) {
  know("a", 10, 20, 30);
  ModelPool& pool = start({.budget_bytes = 100});
  PoolLease lease = ask("a").get().take_value();
  auto waiting = unload("a", ModelPool::UnloadMode::kWait);
  EXPECT_FALSE(static_cast<FakeModel&>(*lease).ended);
  auto next = ask("a");  // comes after it: a new load
  EXPECT_EQ(waiting.wait_for(0s), std::future_status::timeout);
  lease.reset();
  EXPECT_TRUE(waiting.get().ok());
  lease = next.get().take_value();
  EXPECT_EQ(loads_, 2);
  auto cut = unload("a", ModelPool::UnloadMode::kCancel);
  EXPECT_TRUE(static_cast<FakeModel&>(*lease).ended);
  lease.reset();
  EXPECT_TRUE(cut.get().ok());
  EXPECT_EQ(machine_.used(), 0U);
  const auto gone = unload("a", ModelPool::UnloadMode::kWait).get();
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(pool.status("a")->view.state, PoolPolicy::State::kUnloaded);
}

TEST_F(ModelPoolTest, stops_a_load_that_nobody_wants_any_more) {
  know("a", 10, 20, 30);
  start({.budget_bytes = 100});
  held_ = true;
  auto asked = ask("a");
  while (loads_ == 0) std::this_thread::yield();
  EXPECT_TRUE(unload("a", ModelPool::UnloadMode::kCancel).get().ok());
  EXPECT_NE(asked.get().error().message.find("unloaded while it was being loaded"), std::string::npos);
  // By hand is no failure to remember.
  held_ = false;
  EXPECT_TRUE(ask("a").get().ok());
  // Stopping the pool ends a load, too.
  know("b", 10, 20, 30);
  held_ = true;
  auto last = ask("b");
  pool_->stop();
  EXPECT_EQ(last.get().error().kind, ErrorKind::kUnavailable);
  EXPECT_EQ(ask("a").get().error().kind, ErrorKind::kUnavailable);
}

TEST_F(ModelPoolTest, lets_models_go_whose_time_is_over_and_grows_those_in_need) {
  know("a", 10, 20, 200);
  ModelPool& pool = start({.budget_bytes = 100});
  {
    const PoolLease one = ask("a").get().take_value();
    auto& model = static_cast<FakeModel&>(*one);
    model.users = 2;  // its K/V is full
    while (pool.status("a")->view.quota_bytes < 100) std::this_thread::yield();
    EXPECT_EQ(machine_.used(), 100U);
    model.users = 0;
  }
  { const PoolLease last = ask("a", {.keep_alive = 0ms}).get().take_value(); }
  while (pool.status("a")->view.state != PoolPolicy::State::kUnloaded) std::this_thread::yield();
  EXPECT_EQ(machine_.used(), 0U);
}

TEST_F(ModelPoolTest, adopts_a_model_that_stays) {
  know("b", 90, 90, 90);
  ModelPool& pool = start({.budget_bytes = 100});
  ASSERT_TRUE(pool.adopt("a", std::make_shared<FakeModel>(machine_, 30)).ok());
  EXPECT_EQ(pool.adopt("a", std::make_shared<FakeModel>(machine_, 30)).error().kind, ErrorKind::kConflict);
  EXPECT_NE(pool.peek("a"), nullptr);
  EXPECT_EQ(pool.peek("b"), nullptr);
  EXPECT_EQ(ask("b").get().error().kind, ErrorKind::kOutOfMemory);
  EXPECT_TRUE(ask("a").get().ok());
}

// Many threads ask for models that do not all fit, look, pin, unload and change the budget: no model is
// unloaded in use (the fake says so), no request fails, the machine never holds more than the budget.
TEST_F(ModelPoolTest, memory_is_held_for_what_is_no_model_until_it_is_given_back_or_given_up) {
  ModelPool& pool = start({.budget_bytes = 100});
  know("a", 50, 60, 60);
  std::atomic<bool> stop{false};
  auto held = pool.reserve(60, stop);
  ASSERT_TRUE(held.ok()) << held.error().message;
  EXPECT_EQ(pool.status().reserved_bytes, 60U);
  EXPECT_EQ(pool.status().committed_bytes, 60U);
  EXPECT_TRUE(pool.status().models.empty());
  EXPECT_EQ(pool.reserve(101, stop).error().kind, ErrorKind::kOutOfMemory);
  auto model = ask("a");
  auto waiting = std::async(std::launch::async, [&] { return pool.reserve(50, stop); });
  stop = true;
  EXPECT_EQ(waiting.get().error().kind, ErrorKind::kCancelled);
  held = MemoryHold();
  const auto lease = model.get();
  ASSERT_TRUE(lease.ok()) << lease.error().message;
  EXPECT_EQ(pool.status().reserved_bytes, 0U);
  stop = false;
  auto stopped = std::async(std::launch::async, [&] { return pool.reserve(50, stop); });
  pool.stop();
  EXPECT_EQ(stopped.get().error().kind, ErrorKind::kUnavailable);
}

TEST_F(ModelPoolTest, survives_a_crowd) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  for (const char* name : {"a", "b", "c"}) know(name, 30, 40, 90);
  ModelPool& pool = start({.budget_bytes = 100, .swap_wait = 2ms, .settle = 0ms});
  std::atomic<int> failures{0};
  std::vector<std::thread> crowd;
  for (int worker = 0; worker < 4; ++worker) {
    crowd.emplace_back([&, worker] {
      std::mt19937_64 random(seed + static_cast<std::uint64_t>(worker));
      for (int i = 0; i < 150; ++i) {
        const std::string name(1, static_cast<char>('a' + random() % 3));
        switch (random() % 12) {
          case 0:
            (void)pool.status();
            break;
          case 1:
            (void)pool.loaded();
            break;
          case 2:
            pool.unload(name, ModelPool::UnloadMode::kWait, [](const Result<void>&) {});
            break;
          default: {
            auto lease = ask(name).get();
            if (!lease.ok()) {
              ++failures;
              ADD_FAILURE() << lease.error().message;
              break;
            }
            auto& model = static_cast<FakeModel&>(**lease);
            ++model.users;
            if (random() % 2 == 0) std::this_thread::yield();
            --model.users;
          }
        }
      }
    });
  }
  for (std::thread& thread : crowd) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_LE(machine_.most(), 100U);
  pool.stop();
  pool.clear();
  EXPECT_EQ(machine_.used(), 0U);
}

}  // namespace
}  // namespace mlxd
