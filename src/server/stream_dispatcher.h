// Brings engines' wake-ups to the I/O thread on which the streams' owners live: one post for each step,
// whatever number of streams has news. One dispatcher for each engine and I/O thread.
//
// Thread rule: `wake` on any engine thread; add and remove on the I/O thread. Must outlive all streams.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "runtime/engine_thread.h"

namespace mlxd {

/// Who takes a stream's events.
class StreamListener {
 public:
  virtual ~StreamListener() = default;
  /// One of its streams may have events; on the I/O thread.
  virtual void on_events() = 0;
};

class StreamDispatcher : public StreamWaker {
 public:
  /// `post` runs a function on the I/O thread.
  explicit StreamDispatcher(std::function<void(std::function<void()>)> post) : post_(std::move(post)) {}

  void wake(std::span<const std::uint64_t> stream_ids) override;

  /// Wake-ups from before are lost: look once for events after adding.
  void add(std::uint64_t stream_id, std::shared_ptr<StreamListener> listener);
  void remove(std::uint64_t stream_id);

 private:
  void dispatch();

  std::function<void(std::function<void()>)> post_;
  Mutex mutex_;
  std::vector<std::uint64_t> woken_ GUARDED_BY(mutex_);  // not empty: a dispatch is posted
  std::unordered_map<std::uint64_t, std::shared_ptr<StreamListener>> listeners_;
  std::vector<std::uint64_t> dispatching_;
};

/// The dispatchers of each model, as engines number their streams each for itself. A model that is loaded
/// again has those it had. Thread-safe.
class StreamDispatchers {
 public:
  using Post = std::function<void(std::size_t io_thread, std::function<void()> function)>;
  explicit StreamDispatchers(Post post) : post_(std::move(post)) {}

  /// The one dispatcher for this model's streams on this I/O thread; lives as long as this object.
  StreamDispatcher& of(const std::string& model, std::size_t io_thread);

 private:
  Post post_;
  Mutex mutex_;
  std::map<std::pair<std::string, std::size_t>, std::unique_ptr<StreamDispatcher>> dispatchers_
      GUARDED_BY(mutex_);
};

}  // namespace mlxd
