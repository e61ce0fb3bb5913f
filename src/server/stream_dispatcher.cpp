#include "server/stream_dispatcher.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace mlxd {

void StreamDispatcher::wake(std::span<const std::uint64_t> stream_ids) {
  if (stream_ids.empty()) return;
  bool first = false;
  {
    const MutexLock lock(mutex_);
    first = woken_.empty();
    // Several events of a stream are one reason to look.
    std::unique_copy(stream_ids.begin(), stream_ids.end(), std::back_inserter(woken_));
  }
  if (first) post_([this] { dispatch(); });
}

void StreamDispatcher::add(std::uint64_t stream_id, std::shared_ptr<StreamListener> listener) {
  listeners_[stream_id] = std::move(listener);
}

void StreamDispatcher::remove(std::uint64_t stream_id) { listeners_.erase(stream_id); }

void StreamDispatcher::dispatch() {
  dispatching_.clear();
  {
    const MutexLock lock(mutex_);
    std::swap(dispatching_, woken_);
  }
  for (const std::uint64_t id : dispatching_) {
    const auto found = listeners_.find(id);
    if (found == listeners_.end()) continue;
    // A copy: the listener may remove itself.
    const std::shared_ptr<StreamListener> listener = found->second;
    listener->on_events();
  }
}

StreamDispatcher& StreamDispatchers::of(const std::string& model, std::size_t io_thread) {
  const MutexLock lock(mutex_);
  std::unique_ptr<StreamDispatcher>& dispatcher = dispatchers_[{model, io_thread}];
  if (dispatcher == nullptr)
    dispatcher = std::make_unique<StreamDispatcher>(
        [this, io_thread](std::function<void()> function) { post_(io_thread, std::move(function)); });
  return *dispatcher;
}

}  // namespace mlxd
