#include "server/event_hub.h"

#include <utility>

#include "http/sse.h"

namespace mlxd {

std::string EventHub::encode(std::string_view name, std::string_view json) {
  std::string bytes = "event: ";
  bytes += name;
  bytes += '\n';
  http::append_event(bytes, json);
  return bytes;
}

void EventHub::publish(std::string_view name, std::string_view json) {
  std::vector<std::shared_ptr<const Listener>> listeners;
  {
    const MutexLock lock(mutex_);
    for (const auto& [id, listener] : listeners_) listeners.push_back(listener);
  }
  if (listeners.empty()) return;
  const auto bytes = std::make_shared<const std::string>(encode(name, json));
  for (const auto& listener : listeners) (*listener)(bytes);
}

std::uint64_t EventHub::subscribe(Listener listener) {
  {
    const MutexLock lock(mutex_);
    if (!closed_) {
      listeners_.emplace(++last_id_, std::make_shared<const Listener>(std::move(listener)));
      return last_id_;
    }
  }
  listener(nullptr);
  return 0;
}

void EventHub::close() {
  std::map<std::uint64_t, std::shared_ptr<const Listener>> listeners;
  {
    const MutexLock lock(mutex_);
    closed_ = true;
    std::swap(listeners, listeners_);
  }
  for (const auto& [id, listener] : listeners) (*listener)(nullptr);
}

void EventHub::unsubscribe(std::uint64_t id) {
  const MutexLock lock(mutex_);
  listeners_.erase(id);
}

}  // namespace mlxd
