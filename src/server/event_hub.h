// What changes, told to everyone who listens: server-sent events with a name and JSON data. Others publish
// (downloads, models); /api/v1/events listens. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"

namespace mlxd {

class EventHub {
 public:
  /// Takes an event as bytes of the stream, or null: there will be no more. On the publisher's thread, so it
  /// only hands them on.
  using Listener = std::function<void(std::shared_ptr<const std::string> bytes)>;

  /// Who listens, for what is not everybody's.
  struct Reader {
    std::string user_id = {};
    bool administers = false;
  };

  /// `name` without line breaks: "download", "models", "server" (a load goes on, or a model has left),
  /// "users", "profiles", "settings"; `json` on one line.
  void publish(std::string_view name, std::string_view json);
  /// To the account that it concerns and to administrators: "job", "job_log", "job_gone".
  void publish_to(std::string_view user_id, std::string_view name, std::string_view json);

  std::uint64_t subscribe(Listener listener, Reader reader);
  /// No call begins after this returns, though one may be under way.
  void unsubscribe(std::uint64_t id);
  /// Lets all listeners go, and all that come later.
  void close();

  /// "event: NAME\ndata: JSON\n\n".
  static std::string encode(std::string_view name, std::string_view json);

 private:
  static void send(const std::vector<std::shared_ptr<const Listener>>& listeners, std::string_view name,
                   std::string_view json);

  struct Subscription {
    std::shared_ptr<const Listener> listener;
    Reader reader;
  };

  mutable Mutex mutex_;
  std::map<std::uint64_t, Subscription> listeners_ GUARDED_BY(mutex_);
  std::uint64_t last_id_ GUARDED_BY(mutex_) = 0;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace mlxd
