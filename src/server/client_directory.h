// Numbers for who asks: equal credentials, equal number, within this run of the program. Credentials are
// never compared by a hash, so no two clients can be taken for one. Bounded: who was not seen for longest is
// forgotten and gets a new number when it comes back. Thread-safe.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "generation/generation_request.h"
#include "http/message.h"

namespace mlxd {

class ClientDirectory {
 public:
  explicit ClientDirectory(std::size_t capacity = 4096) : capacity_(capacity) {}

  /// 0 for a request without credentials.
  ClientId of(const http::Headers& headers);
  ClientId of(std::string_view credentials);

 private:
  struct Entry {
    ClientId id = 0;
    std::list<std::string>::iterator place;
  };

  const std::size_t capacity_;
  Mutex mutex_;
  std::map<std::string, Entry, std::less<>> clients_ GUARDED_BY(mutex_);
  std::list<std::string> by_use_ GUARDED_BY(mutex_);  // last used first
  ClientId next_ GUARDED_BY(mutex_) = 1;
};

}  // namespace mlxd
