#include "runtime/model_pool.h"

#include <algorithm>
#include <deque>
#include <exception>
#include <map>
#include <new>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/mutex.h"
#include "runtime/free_memory.h"
#include "runtime/token_rate.h"

namespace mlxd {
namespace {

// How often models in use are asked whether they are short of K/V.
constexpr Duration kPressureInterval = std::chrono::milliseconds(250);
// How soon one who waits for a reservation sees that it is to stop.
constexpr Duration kStopInterval = std::chrono::milliseconds(200);
// Of what is free, a model may take so much without the machine swapping.
constexpr std::size_t kFreeShare = 10;  // nine tenths

Error stopping() { return {ErrorKind::kUnavailable, "the server is stopping"}; }

bool is_short_of_kv(const EngineStats& now, std::uint64_t preemptions_before) {
  if (now.preemptions > preemptions_before) return true;
  const std::int64_t used = now.pages_used, total = now.pages_total;
  return used * 8 >= total * 7 || (now.waiting > 0 && used * 2 >= total);
}

}  // namespace

class ModelPool::Core : public std::enable_shared_from_this<ModelPool::Core> {
 public:
  explicit Core(Options options)
      : options_(std::move(options)),
        policy_(options_.settings),
        largest_budget_(options_.settings.budget_bytes),
        follows_machine_(options_.free_memory != nullptr) {}

  void start() {
    keeper_ = std::thread([this] { keep(); });
    loader_ = std::thread([this] { load_models(); });
    caller_ = std::thread([this] { call_back(); });
  }

  Result<void> adopt(const std::string& name, PoolLease model) {
    const MutexLock lock(mutex_);
    const ModelMemory memory = model->memory();
    TRY(policy_.adopt(name,
                      memory.weight_bytes + memory.kv_bytes + memory.scratch_bytes + memory.adapter_bytes +
                          memory.tokenizer_bytes,
                      Clock::real().now()));
    Slot& slot = slots_[name];
    slot.model = std::move(model);
    slot.loaded_at = Clock::real().wall_seconds();
    return {};
  }

  void acquire(const ModelSource& source, const AcquireOptions& options, Acquired acquired) {
    Result<PoolLease> outcome = PoolLease();
    if (const auto known = look_at(source); !known.ok()) {
      outcome = known.error();
    } else {
      const MutexLock lock(mutex_);
      if (stopping_) {
        outcome = stopping();
      } else {
        const PoolPolicy::Ticket ticket = next_ticket_++;
        const TimePoint now = Clock::real().now();
        const auto asked = policy_.acquire(source.name, ticket, now, {options.keep_alive, options.deadline});
        if (asked.ok() && *asked) {
          ++slots_[source.name].requests;
          outcome = lease(source.name);
        } else if (asked.ok()) {
          open_feed(source.name);
          waiting_.emplace(ticket, Waiting{source.name, std::move(acquired)});
          news_ = true;
          keeper_wake_.notify_one();
          return;
        } else {
          outcome = asked.error();
        }
      }
    }
    acquired(std::move(outcome));
  }

  PoolLease peek(const std::string& name) {
    const MutexLock lock(mutex_);
    const auto found = slots_.find(name);
    return found == slots_.end() || found->second.model == nullptr ? nullptr : borrow(found->first);
  }

  std::vector<std::pair<std::string, PoolLease>> loaded() {
    std::vector<std::pair<std::string, PoolLease>> models;
    const MutexLock lock(mutex_);
    for (const auto& [name, slot] : slots_) {
      if (slot.model != nullptr) models.emplace_back(name, borrow(name));
    }
    return models;
  }

  Result<void> preload(const ModelSource& source, std::optional<KeepAlive> keep_alive, bool protect) {
    TRY(look_at(source));
    const MutexLock lock(mutex_);
    if (stopping_) return stopping();
    const TimePoint now = Clock::real().now();
    TRY(policy_.preload(source.name, now));
    if (protect) policy_.set_preloaded(source.name, true);
    if (keep_alive) policy_.set_keep_alive(source.name, *keep_alive, now);
    if (policy_.view(source.name, now)->wanted) open_feed(source.name);
    wake_keeper();
    return {};
  }

  Result<void> set_pinned(const ModelSource& source, bool pinned) {
    TRY(look_at(source));
    const MutexLock lock(mutex_);
    policy_.set_pinned(source.name, pinned);
    if (!pinned) policy_.set_preloaded(source.name, false);
    wake_keeper();
    return {};
  }

  void unload(const std::string& name, UnloadMode mode, Done done) {
    PoolLease cut;
    {
      const MutexLock lock(mutex_);
      const auto view = policy_.view(name, Clock::real().now());
      if (view && (view->state != PoolPolicy::State::kUnloaded || view->wanted) && !stopping_) {
        Slot& slot = slots_[name];
        policy_.unload(name);
        if (view->state == PoolPolicy::State::kUnloaded) {
          // A load that has not begun. Whoever waits for it still gets it.
          call([done = std::move(done)] { done({}); });
          return;
        }
        if (view->state == PoolPolicy::State::kLoading) {
          // Those who wait for it are served first, unless they are to be cut.
          if (mode == UnloadMode::kCancel || view->waiting == 0)
            slot.stop = true;
          else
            slot.leaves = true;
        }
        slot.unload_waiters.push_back(std::move(done));
        done = nullptr;
        if (mode == UnloadMode::kCancel && slot.model != nullptr) cut = borrow(name);
        wake_keeper();
      }
    }
    if (done) done(not_found("model '" + name + "' is not loaded"));
    if (cut != nullptr)
      cut->end_requests(
          {ErrorKind::kUnavailable, "model '" + name + "' was unloaded while it answered: ask again"});
  }

  Result<MemoryHold> reserve(std::size_t bytes, const std::atomic<bool>& stop) {
    const MutexLock lock(mutex_);
    if (stopping_) return stopping();
    follow_machine();
    const PoolPolicy::Ticket ticket = next_ticket_++;
    TRY(policy_.reserve(ticket, bytes));
    reservations_.emplace(ticket, false);
    wake_keeper();
    while (!reservations_[ticket]) {
      if (stop || stopping_) {
        give_back(ticket);
        if (stopping_) return stopping();
        return Error(ErrorKind::kCancelled, "stopped while it waited for memory");
      }
      // The machine's own free memory may have grown meanwhile.
      if (reserved_wake_.wait_until(mutex_, Clock::real().now() + kStopInterval)) continue;
      follow_machine();
      wake_keeper();
    }
    return MemoryHold(nullptr, [self = shared_from_this(), ticket](void*) {
      const MutexLock relock(self->mutex_);
      self->give_back(ticket);
    });
  }

  PoolSettings settings() {
    const MutexLock lock(mutex_);
    return policy_.settings();
  }

  Result<void> set_settings(const PoolSettings& settings, bool follows_machine) {
    const MutexLock lock(mutex_);
    TRY(policy_.set_settings(settings, Clock::real().now()));
    largest_budget_ = settings.budget_bytes;
    follows_machine_ = follows_machine && options_.free_memory != nullptr;
    follow_machine();
    wake_keeper();
    return {};
  }

  Status status() {
    Status status;
    std::vector<std::string> names;
    {
      const MutexLock lock(mutex_);
      status.settings = policy_.settings();
      status.follows_machine = follows_machine_;
      status.committed_bytes = policy_.committed_bytes();
      status.reserved_bytes = policy_.reserved_bytes();
      status.waiting = policy_.num_waiting();
      for (const auto& [name, slot] : slots_) names.push_back(name);
    }
    for (const std::string& name : names) {
      if (auto model = status_of(name)) status.models.push_back(std::move(*model));
    }
    return status;
  }

  std::optional<ModelStatus> status_of(const std::string& name) {
    ModelStatus status;
    PoolLease model;
    std::shared_ptr<LoadFeed> feed;
    {
      const MutexLock lock(mutex_);
      const auto found = slots_.find(name);
      auto view = policy_.view(name, Clock::real().now());
      if (found == slots_.end() || !view) return std::nullopt;
      const Slot& slot = found->second;
      status.name = name;
      status.folder = slot.folder;
      status.view = std::move(*view);
      status.requests = slot.requests;
      status.num_loads = slot.num_loads;
      status.loaded_at = slot.model == nullptr ? 0 : slot.loaded_at;
      status.load_seconds = slot.load_seconds;
      status.failed_at = slot.failed_at;
      feed = slot.feed;
      if (slot.model != nullptr) model = borrow(name);
    }
    if (feed != nullptr) status.load = feed->latest();
    if (model == nullptr) return status;
    status.memory = model->memory();
    status.stats = model->stats();
    const MutexLock lock(mutex_);
    TokenRate& rate = slots_[name].rate;
    rate.observe(status.stats.generated_tokens, Clock::real().now());
    status.tokens_per_second = rate.per_second();
    return status;
  }

  double expected_wait_seconds(const std::string& name) {
    const MutexLock lock(mutex_);
    const auto slot = slots_.find(name);
    const double load = slot == slots_.end() ? 0.0 : slot->second.load_seconds;
    return load + std::chrono::duration<double>(policy_.settings().swap_wait).count();
  }

  std::shared_ptr<LoadFeed> feed(const std::string& name) {
    const MutexLock lock(mutex_);
    const auto slot = slots_.find(name);
    return slot == slots_.end() ? nullptr : slot->second.feed;
  }

  void stop() {
    std::map<PoolPolicy::Ticket, Waiting> dropped;
    {
      const MutexLock lock(mutex_);
      if (std::exchange(stopping_, true)) return;
      std::swap(dropped, waiting_);
      for (auto& [name, slot] : slots_) {
        slot.stop = true;
        for (Done& done : slot.unload_waiters)
          calls_.push_back([done = std::move(done)] { done(stopping()); });
        slot.unload_waiters.clear();
      }
      keeper_wake_.notify_all();
      loader_wake_.notify_all();
      reserved_wake_.notify_all();
    }
    keeper_.join();
    loader_.join();
    {
      const MutexLock lock(mutex_);
      no_more_calls_ = true;
      caller_wake_.notify_all();
    }
    caller_.join();
    for (auto& [ticket, waiting] : dropped) waiting.acquired(stopping());
  }

  void clear() {
    std::vector<PoolLease> dropped;
    const MutexLock lock(mutex_);
    for (auto& [name, slot] : slots_) dropped.push_back(std::move(slot.model));
  }

 private:
  struct Slot {
    std::filesystem::path folder;
    PoolLease model;  // null: not loaded
    std::shared_ptr<LoadFeed> feed;
    std::atomic<bool> stop{false};  // its load
    bool leaves = false;            // once those are served who wait for the load under way
    std::vector<Done> unload_waiters;
    std::int32_t borrows = 0;
    std::size_t quota = 0;  // as carried out
    std::uint64_t requests = 0;
    std::uint64_t num_loads = 0;
    std::uint64_t preemptions = 0;
    std::int64_t loaded_at = 0;
    std::int64_t failed_at = 0;
    double load_seconds = 0.0;
    TokenRate rate;
  };
  struct Waiting {
    std::string name;
    Acquired acquired;
  };

  // The load under way, as its loader sees it.
  class RunningLoad final : public Load {
   public:
    RunningLoad(Core& core, std::string name, std::shared_ptr<LoadFeed> feed, const std::atomic<bool>& stop)
        : core_(core), name_(std::move(name)), feed_(std::move(feed)), stop_(stop) {}
    void enter(LoadStep step, float fraction) override { feed_->publish(step, fraction); }
    Result<std::size_t> settle(const MemoryNeeds& needs) override {
      const MutexLock lock(core_.mutex_);
      return core_.policy_.settle(name_, needs);
    }
    PoolSettings settings() const override {
      const MutexLock lock(core_.mutex_);
      return core_.settings_for(name_);
    }
    const std::atomic<bool>& stop() const override { return stop_; }

   private:
    Core& core_;
    const std::string name_;
    const std::shared_ptr<LoadFeed> feed_;
    const std::atomic<bool>& stop_;
  };

  // Looks at a model's files, without the lock, if it has to be loaded and nobody has asked for that yet.
  Result<void> look_at(const ModelSource& source) EXCLUDES(mutex_) {
    PoolSettings settings;
    std::size_t measured = 0;
    {
      const MutexLock lock(mutex_);
      if (!policy_.is_cold(source.name)) return {};
      follow_machine();
      settings = settings_for(source.name);
      measured = policy_.measured_fixed_bytes(source.name);
    }
    const auto needs = options_.estimate(source, settings, measured);
    const MutexLock lock(mutex_);
    Slot& slot = slots_[source.name];
    slot.folder = source.folder;
    if (needs.ok()) {
      policy_.know(source.name, *needs);
      return {};
    }
    policy_.note_failure(source.name, needs.error());
    slot.failed_at = Clock::real().wall_seconds();
    return needs.error();
  }

  PoolSettings settings_for(const std::string& name) REQUIRES(mutex_) {
    PoolSettings settings = policy_.settings();
    settings.budget_bytes = policy_.room_for(name);
    return settings;
  }

  void follow_machine() REQUIRES(mutex_) {
    if (!follows_machine_) return;
    const std::size_t free = options_.free_memory();
    policy_.follow_budget(std::min(largest_budget_, policy_.committed_bytes() + free - free / kFreeShare));
  }

  void give_back(PoolPolicy::Ticket ticket) REQUIRES(mutex_) {
    policy_.give_back(ticket);
    reservations_.erase(ticket);
    wake_keeper();
  }

  void wake_keeper() REQUIRES(mutex_) {
    news_ = true;
    keeper_wake_.notify_one();
  }

  void open_feed(const std::string& name) REQUIRES(mutex_) {
    std::shared_ptr<LoadFeed>& feed = slots_[name].feed;
    if (feed != nullptr && !is_last(feed->latest().step)) return;
    feed = std::make_shared<LoadFeed>();
    if (options_.on_event) {
      feed->follow([on_event = options_.on_event, name](const LoadEvent& event) { on_event(name, &event); });
    }
    feed->publish(LoadStep::kWaiting);
  }

  // Counted by the policy already; its last copy gives it back.
  PoolLease lease(const std::string& name) REQUIRES(mutex_) {
    PoolLease model = slots_[name].model;
    PooledModel* const raw = model.get();
    return PoolLease(raw, [self = shared_from_this(), name, model = std::move(model)](PooledModel*) mutable {
      model.reset();
      const MutexLock lock(self->mutex_);
      self->policy_.release(name, Clock::real().now());
      self->wake_keeper();
    });
  }

  PoolLease borrow(const std::string& name) REQUIRES(mutex_) {
    Slot& slot = slots_[name];
    ++slot.borrows;
    PoolLease model = slot.model;
    PooledModel* const raw = model.get();
    return PoolLease(raw, [self = shared_from_this(), name, model = std::move(model)](PooledModel*) mutable {
      model.reset();
      const MutexLock lock(self->mutex_);
      if (--self->slots_[name].borrows == 0) self->keeper_wake_.notify_one();
    });
  }

  // The keeper's thread: does what the policy says, one thing after the other.
  void keep() {
    MutexLock lock(mutex_);
    while (!stopping_) {
      news_ = false;
      look_for_pressure();
      const auto chore = policy_.next_chore(Clock::real().now());
      deliver();
      if (chore) {
        carry_out(*chore);
        continue;
      }
      if (news_) continue;
      const auto next = next_look();
      if (next)
        keeper_wake_.wait_until(mutex_, *next);
      else
        keeper_wake_.wait(mutex_);
    }
  }

  std::optional<TimePoint> next_look() REQUIRES(mutex_) {
    std::optional<TimePoint> next = policy_.wake_at();
    const TimePoint now = Clock::real().now();
    for (const auto& [name, slot] : slots_) {
      if (slot.model == nullptr || policy_.view(name, now)->leases == 0) continue;
      const TimePoint look = now + kPressureInterval;
      if (!next || look < *next) next = look;
    }
    return next;
  }

  void look_for_pressure() REQUIRES(mutex_) {
    const TimePoint now = Clock::real().now();
    if (now < last_look_ + kPressureInterval) return;
    last_look_ = now;
    for (auto& [name, slot] : slots_) {
      if (slot.model == nullptr || policy_.view(name, now)->leases == 0) continue;
      const EngineStats stats = slot.model->stats();
      slot.rate.observe(stats.generated_tokens, now);
      if (is_short_of_kv(stats, std::exchange(slot.preemptions, stats.preemptions))) policy_.press(name);
    }
  }

  // Gives waiting requests what the policy has decided for them.
  void deliver() REQUIRES(mutex_) {
    for (PoolPolicy::Answer& answer : policy_.take_answers()) {
      if (const auto reserved = reservations_.find(answer.ticket); reserved != reservations_.end()) {
        reserved->second = true;
        reserved_wake_.notify_all();
        continue;
      }
      auto waiting = waiting_.extract(answer.ticket);
      if (waiting.empty()) continue;
      const std::string& name = waiting.mapped().name;
      Result<PoolLease> outcome = PoolLease();
      if (answer.error) {
        outcome = std::move(*answer.error);
      } else {
        ++slots_[name].requests;
        outcome = lease(name);
      }
      call([acquired = std::move(waiting.mapped().acquired), outcome = std::move(outcome)]() mutable {
        acquired(std::move(outcome));
      });
    }
  }

  void call(std::function<void()> function) REQUIRES(mutex_) {
    calls_.push_back(std::move(function));
    caller_wake_.notify_one();
  }

  void carry_out(const PoolPolicy::Chore& chore) REQUIRES(mutex_) {
    Slot& slot = slots_[chore.name];
    switch (chore.kind) {
      case PoolPolicy::Chore::Kind::kLoad:
        open_feed(chore.name);
        slot.stop = slot.leaves = false;
        to_load_ = chore.name;
        loader_wake_.notify_one();
        return;
      case PoolPolicy::Chore::Kind::kResize:
        resize(chore, slot);
        return;
      case PoolPolicy::Chore::Kind::kUnload:
        remove(chore.name, slot);
        return;
    }
  }

  void resize(const PoolPolicy::Chore& chore, Slot& slot) REQUIRES(mutex_) {
    const PoolLease model = slot.model;
    const std::size_t before = std::exchange(slot.quota, chore.bytes);
    mutex_.unlock();
    const auto resized = model->set_quota(chore.bytes);
    mutex_.lock();
    if (!resized.ok()) {
      log::warn("cannot give model {} {} MiB: {}", chore.name, chore.bytes >> 20U, resized.error().message);
      slot.quota = before;
    }
    policy_.resized(chore.name, slot.quota);
  }

  void remove(const std::string& name, Slot& slot) REQUIRES(mutex_) {
    // Whoever only looks at it is gone in a moment, and with him its memory.
    while (slot.borrows > 0) keeper_wake_.wait(mutex_);
    PoolLease model = std::move(slot.model);
    mutex_.unlock();
    model.reset();
    return_free_heap();
    log::info("unloaded {}", name);
    mutex_.lock();
    policy_.unloaded(name);
    slot.rate = {};
    slot.preemptions = 0;
    if (options_.on_event) options_.on_event(name, nullptr);
    tell_unloaded(slot, {});
  }

  void tell_unloaded(Slot& slot, const Result<void>& outcome) REQUIRES(mutex_) {
    for (Done& done : std::exchange(slot.unload_waiters, {}))
      call([done = std::move(done), outcome] { done(outcome); });
  }

  // The loader's thread.
  void load_models() {
    MutexLock lock(mutex_);
    for (;;) {
      while (!to_load_ && !stopping_) loader_wake_.wait(mutex_);
      if (stopping_) return;
      const std::string name = *std::exchange(to_load_, {});
      Slot& slot = slots_[name];
      const ModelSource source{name, slot.folder};
      RunningLoad load(*this, name, slot.feed, slot.stop);
      const std::shared_ptr<LoadFeed> feed = slot.feed;
      mutex_.unlock();
      const TimePoint started = Clock::real().now();
      feed->publish(LoadStep::kReading);
      auto loaded = try_load(source, load);
      if (!loaded.ok() && loaded.error().kind != ErrorKind::kCancelled)
        log::error("cannot load model {}: {}", name, loaded.error().message);
      mutex_.lock();
      const TimePoint now = Clock::real().now();
      if (loaded.ok()) {
        slot.model = loaded.take_value();
        slot.quota = policy_.view(name, now)->quota_bytes;
        slot.load_seconds = std::chrono::duration<double>(now - started).count();
        slot.loaded_at = Clock::real().wall_seconds();
        ++slot.num_loads;
        policy_.loaded(name, now);
        // Too late to be stopped, or what it was loaded for has its lease now.
        if (slot.stop || slot.leaves) policy_.unload(name);
        wake_keeper();
        mutex_.unlock();
        feed->publish(LoadStep::kReady, 1.0F);
        mutex_.lock();
      } else {
        Error error = loaded.take_error();
        if (error.kind == ErrorKind::kCancelled)
          error =
              Error(ErrorKind::kUnavailable, "model '" + name + "' was unloaded while it was being loaded");
        policy_.load_failed(name, error, now, !slot.stop);
        slot.failed_at = Clock::real().wall_seconds();
        const bool again = policy_.view(name, now)->wanted;
        tell_unloaded(slot, {});
        wake_keeper();
        mutex_.unlock();
        if (!again) feed->publish(LoadStep::kFailed, 0.0F, error.message);
        mutex_.lock();
      }
    }
  }

  // What it throws becomes an error: this thread has no one above it.
  Result<PoolLease> try_load(const ModelSource& source, Load& load) {
    try {
      return PoolLease(TRY(options_.load(source, load)));
    } catch (const std::bad_alloc&) {
      return Error(ErrorKind::kOutOfMemory,
                   "the system has too little memory to load " + source.folder.string());
    } catch (const std::exception& failure) {
      return Error(ErrorKind::kInternal, "loading " + source.folder.string() + " failed: " + failure.what());
    }
  }

  // The caller's thread: tells requests what became of their wish. They may take their time.
  void call_back() {
    for (;;) {
      std::function<void()> function;
      {
        const MutexLock lock(mutex_);
        while (calls_.empty() && !no_more_calls_) caller_wake_.wait(mutex_);
        if (calls_.empty()) return;
        function = std::move(calls_.front());
        calls_.pop_front();
      }
      try {
        function();
      } catch (const std::exception& failure) {
        // Memory running out, most likely; whoever waits is answered when its exchange is let go.
        log::error("a request that waited for a model failed: {}", failure.what());
      }
    }
  }

  const Options options_;
  Mutex mutex_;
  CondVar keeper_wake_;
  CondVar loader_wake_;
  CondVar caller_wake_;
  CondVar reserved_wake_;
  PoolPolicy policy_ GUARDED_BY(mutex_);
  std::size_t largest_budget_ GUARDED_BY(mutex_);
  bool follows_machine_ GUARDED_BY(mutex_);
  std::map<std::string, Slot> slots_ GUARDED_BY(mutex_);  // never removed from
  std::map<PoolPolicy::Ticket, Waiting> waiting_ GUARDED_BY(mutex_);
  std::map<PoolPolicy::Ticket, bool> reservations_ GUARDED_BY(mutex_);  // true: granted
  std::deque<std::function<void()>> calls_ GUARDED_BY(mutex_);
  std::optional<std::string> to_load_ GUARDED_BY(mutex_);
  PoolPolicy::Ticket next_ticket_ GUARDED_BY(mutex_) = 1;
  TimePoint last_look_ GUARDED_BY(mutex_){};
  bool news_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool no_more_calls_ GUARDED_BY(mutex_) = false;
  std::thread keeper_;
  std::thread loader_;
  std::thread caller_;
};

ModelPool::ModelPool(Options options) : core_(std::make_shared<Core>(std::move(options))) { core_->start(); }
ModelPool::~ModelPool() { core_->stop(); }

Result<void> ModelPool::adopt(const std::string& name, PoolLease model) {
  return core_->adopt(name, std::move(model));
}
void ModelPool::acquire(const ModelSource& source, const AcquireOptions& options, Acquired acquired) {
  core_->acquire(source, options, std::move(acquired));
}
PoolLease ModelPool::peek(const std::string& name) const { return core_->peek(name); }
std::vector<std::pair<std::string, PoolLease>> ModelPool::loaded() const { return core_->loaded(); }
Result<void> ModelPool::preload(const ModelSource& source, std::optional<KeepAlive> keep_alive,
                                bool protect) {
  return core_->preload(source, keep_alive, protect);
}
Result<void> ModelPool::set_pinned(const ModelSource& source, bool pinned) {
  return core_->set_pinned(source, pinned);
}
void ModelPool::unload(const std::string& name, UnloadMode mode, Done done) {
  core_->unload(name, mode, std::move(done));
}
Result<MemoryHold> ModelPool::reserve(std::size_t bytes, const std::atomic<bool>& stop) {
  return core_->reserve(bytes, stop);
}
PoolSettings ModelPool::settings() const { return core_->settings(); }
Result<void> ModelPool::set_settings(const PoolSettings& settings, bool follow_machine) {
  return core_->set_settings(settings, follow_machine);
}
ModelPool::Status ModelPool::status() const { return core_->status(); }
std::optional<ModelPool::ModelStatus> ModelPool::status(const std::string& name) const {
  return core_->status_of(name);
}
double ModelPool::expected_wait_seconds(const std::string& name) const {
  return core_->expected_wait_seconds(name);
}
std::shared_ptr<LoadFeed> ModelPool::feed(const std::string& name) const { return core_->feed(name); }
void ModelPool::stop() { core_->stop(); }
void ModelPool::clear() { core_->clear(); }

}  // namespace mlxd
