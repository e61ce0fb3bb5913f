// The loaded models of a server under one memory budget: loaded at their first use, one load for all who
// wait, let go when memory is needed or their time is over, never while a request holds one. PoolPolicy
// decides; this carries out what it says, on three threads of its own: one that changes and unloads, one that
// loads, one that calls back. Thread-safe.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine_stats.h"
#include "runtime/load_feed.h"
#include "runtime/memory_needs.h"
#include "runtime/pool_policy.h"

namespace mlxd {

/// What a name means to the pool: which folder to load.
struct ModelSource {
  std::string name;
  std::filesystem::path folder;
};

/// Memory that a model has now, by purpose.
struct ModelMemory {
  std::size_t weight_bytes = 0;
  std::size_t kv_bytes = 0;  // pages it may use; backed by memory as they are
  std::size_t scratch_bytes = 0;
  std::size_t adapter_bytes = 0;
  std::size_t tokenizer_bytes = 0;
};

/// A loaded model, as the pool needs it. Its destructor frees its memory. Thread-safe.
class PooledModel {
 public:
  virtual ~PooledModel() = default;
  virtual ModelMemory memory() const = 0;
  virtual EngineStats stats() const = 0;
  /// Changes the memory for everything while requests run. Errors: kOutOfMemory, which changes nothing.
  virtual Result<void> set_quota(std::size_t bytes) = 0;
  /// Ends all that run with `reason`.
  virtual void end_requests(const Error& reason) = 0;
};

/// A model that stays loaded as long as this is held.
using PoolLease = std::shared_ptr<PooledModel>;

/// Memory of the budget, as long as this is held.
using MemoryHold = std::shared_ptr<void>;

class ModelPool {
 public:
  /// What a load tells and asks. Thread-safe.
  class Load {
   public:
    virtual ~Load() = default;
    virtual void enter(LoadStep step, float fraction = 0.0F) = 0;
    /// Once: what the model needs, now that it is known; the quota it gets. Errors: kOutOfMemory.
    virtual Result<std::size_t> settle(const MemoryNeeds& needs) = 0;
    /// The budget is what the model may have at the most.
    virtual PoolSettings settings() const = 0;
    /// Set when nobody wants the model any more.
    virtual const std::atomic<bool>& stop() const = 0;
  };
  struct Options {
    PoolSettings settings;
    /// On the loading thread. Must call `settle`, and should end soon with kCancelled once stopped.
    std::function<Result<std::unique_ptr<PooledModel>>(const ModelSource&, Load&)> load;
    /// What a load will take, by a look at the files; on the asking thread. The budget is what the model may
    /// have at the most; `measured_fixed_bytes`: what it took at its last load, or 0.
    std::function<Result<MemoryNeeds>(const ModelSource&, const PoolSettings&,
                                      std::size_t measured_fixed_bytes)>
        estimate;
    /// Set: the budget is this part of the machine's memory, and no more than what is free now beside what
    /// the models have.
    std::function<std::size_t()> free_memory = {};
    /// A load goes on (whole percents of reading), ends, or (null) a model has left. On any thread, at times
    /// under the pool's lock: it must be quick and must not call the pool.
    std::function<void(const std::string& name, const LoadEvent* event)> on_event = {};
  };
  struct AcquireOptions {
    std::optional<KeepAlive> keep_alive = {};
    std::optional<TimePoint> deadline = {};
  };
  using Acquired = std::function<void(Result<PoolLease>)>;
  using Done = std::function<void(Result<void>)>;
  enum class UnloadMode { kWait, kCancel };

  explicit ModelPool(Options options);
  /// As stop.
  ~ModelPool();

  /// A model loaded elsewhere, which stays. Errors: kConflict (the name is taken).
  Result<void> adopt(const std::string& name, PoolLease model);

  /// Calls `acquired` once: at once if the model is loaded or can't be, else on the pool's thread. Errors:
  /// those of estimating and loading, the same for all who wait; kOutOfMemory with the numbers; kOverloaded;
  /// kTimeout; kUnavailable (stopping).
  void acquire(const ModelSource& source, const AcquireOptions& options, Acquired acquired);
  /// The model, if it is loaded and open; it does not count as used. Else null.
  PoolLease peek(const std::string& name) const;
  std::vector<std::pair<std::string, PoolLease>> loaded() const;

  /// Loads without a request; `protect`: it then stays until it is unloaded by hand. Errors as acquire, but
  /// those of the load itself, which go to the feed and to status.
  Result<void> preload(const ModelSource& source, std::optional<KeepAlive> keep_alive, bool protect);
  /// A pinned model is not evicted; one not loaded is kept once it is. Errors: those of estimating.
  Result<void> set_pinned(const ModelSource& source, bool pinned);
  /// `done` is called when the model is gone, on the pool's thread or at once. Errors: kNotFound (it is not
  /// loaded).
  void unload(const std::string& name, UnloadMode mode, Done done);

  /// Memory of the budget for what is no model of the pool's: this thread waits until it is there, behind all
  /// models that wait, and no model in use goes for it. Errors: kOutOfMemory (it can never be there, with the
  /// numbers), kCancelled (`stop` was set), kUnavailable (stopping).
  Result<MemoryHold> reserve(std::size_t bytes, const std::atomic<bool>& stop);

  PoolSettings settings() const;
  /// Takes effect at once. `follow_machine`: the budget follows free memory, as with Options::free_memory.
  /// Errors: kOutOfMemory.
  Result<void> set_settings(const PoolSettings& settings, bool follow_machine);

  struct ModelStatus {
    std::string name;
    std::filesystem::path folder;
    PoolPolicy::View view;
    std::optional<LoadEvent> load;  // the latest of the last one
    ModelMemory memory;
    EngineStats stats;
    double tokens_per_second = 0.0;  // of the last seconds
    std::uint64_t requests = 0;      // that got the model
    std::uint64_t num_loads = 0;
    std::int64_t loaded_at = 0;  // seconds since 1970; 0: it is not
    double load_seconds = 0.0;   // of the last load
    std::int64_t failed_at = 0;
  };
  struct Status {
    PoolSettings settings;
    bool follows_machine = false;
    std::size_t committed_bytes = 0;
    std::size_t reserved_bytes = 0;  // of these, for what is no model
    std::size_t waiting = 0;
    std::vector<ModelStatus> models;  // by name
  };
  Status status() const;
  /// Nothing if the pool has never heard of it.
  std::optional<ModelStatus> status(const std::string& name) const;
  /// Seconds until a request for the model that comes now may have it; a guess for Retry-After.
  double expected_wait_seconds(const std::string& name) const;
  /// The model's last or current load; null: none so far.
  std::shared_ptr<LoadFeed> feed(const std::string& name) const;

  /// Stops a load, answers all who wait with kUnavailable and ends the threads. Models stay.
  void stop();
  /// Lets all models go; with their last users their engines end.
  void clear();

 private:
  class Core;
  std::shared_ptr<Core> core_;
};

}  // namespace mlxd
