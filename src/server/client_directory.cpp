#include "server/client_directory.h"

namespace mlxd {

ClientId ClientDirectory::of(const http::Headers& headers) {
  for (const char* name : {"Authorization", "x-api-key"}) {
    if (const std::string* value = headers.find(name)) return of(*value);
  }
  return 0;
}

ClientId ClientDirectory::of(std::string_view credentials) {
  if (credentials.empty()) return 0;
  const MutexLock lock(mutex_);
  if (const auto found = clients_.find(credentials); found != clients_.end()) {
    by_use_.splice(by_use_.begin(), by_use_, found->second.place);
    return found->second.id;
  }
  if (clients_.size() >= capacity_) {
    clients_.erase(by_use_.back());
    by_use_.pop_back();
  }
  by_use_.emplace_front(credentials);
  const ClientId id = next_++;
  clients_.emplace(credentials, Entry{id, by_use_.begin()});
  return id;
}

}  // namespace mlxd
