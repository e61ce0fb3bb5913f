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
    for (const auto& [id, subscription] : listeners_) listeners.push_back(subscription.listener);
  }
  send(listeners, name, json);
}

void EventHub::publish_to(std::string_view user_id, std::string_view name, std::string_view json) {
  std::vector<std::shared_ptr<const Listener>> listeners;
  {
    const MutexLock lock(mutex_);
    for (const auto& [id, subscription] : listeners_) {
      const Reader& reader = subscription.reader;
      if (reader.administers || (!user_id.empty() && reader.user_id == user_id))
        listeners.push_back(subscription.listener);
    }
  }
  send(listeners, name, json);
}

void EventHub::send(const std::vector<std::shared_ptr<const Listener>>& listeners, std::string_view name,
                    std::string_view json) {
  if (listeners.empty()) return;
  const auto bytes = std::make_shared<const std::string>(encode(name, json));
  for (const auto& listener : listeners) (*listener)(bytes);
}

std::uint64_t EventHub::subscribe(Listener listener, Reader reader) {
  {
    const MutexLock lock(mutex_);
    if (!closed_) {
      listeners_.emplace(
          ++last_id_, Subscription{std::make_shared<const Listener>(std::move(listener)), std::move(reader)});
      return last_id_;
    }
  }
  listener(nullptr);
  return 0;
}

void EventHub::close() {
  std::map<std::uint64_t, Subscription> listeners;
  {
    const MutexLock lock(mutex_);
    closed_ = true;
    std::swap(listeners, listeners_);
  }
  for (const auto& [id, subscription] : listeners) (*subscription.listener)(nullptr);
}

void EventHub::unsubscribe(std::uint64_t id) {
  const MutexLock lock(mutex_);
  listeners_.erase(id);
}

}  // namespace mlxd
