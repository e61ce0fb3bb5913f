// Responses that are kept for who asks for them again or builds on them. What an answer leaves is found at
// once and in the database a moment later: an answer waits neither for a disk nor for what is kept of it to
// be written down. Thread-safe; all but `keep` waits for the database: not for I/O threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "server/caller.h"
#include "server/text_workers.h"
#include "store/response_store.h"

namespace mlxd {

class ResponseArchive {
 public:
  struct Options {
    Database* database = nullptr;
    TextWorkers* workers = nullptr;
    std::function<std::int64_t()> retention_days = [] { return std::int64_t{30}; };  // 0: nothing is kept
    /// What all of them may take; the oldest go first.
    std::function<std::int64_t()> most_bytes = [] { return std::int64_t{1} << 30; };
    const Clock* clock = &Clock::real();
  };
  explicit ResponseArchive(Options options) : options_(std::move(options)), store_(*options_.database) {}

  bool keeps() const { return options_.retention_days() > 0; }
  /// Any thread; `write` is called on others, more than once, and gives the same each time.
  void keep(std::string id, ResponseOwner owner, std::function<StoredResponse()> write);
  /// Errors: kNotFound, also of one that is kept for later ones only; of the database.
  Result<StoredResponse> find(const ResponseOwner& owner, std::string_view id);
  Result<void> remove(const ResponseOwner& owner, std::string_view id);
  /// The response and all that it builds on, the oldest first. Errors: kNotFound naming the one that is gone;
  /// kTooLarge.
  Result<std::vector<StoredResponse>> chain(const ResponseOwner& owner, std::string_view id);
  /// Brings what was kept into the database, and now and then forgets what is too old.
  void flush();

 private:
  struct Unwritten {
    std::string id;
    ResponseOwner owner;
    std::function<StoredResponse()> write;
  };
  using Pending = std::shared_ptr<const Unwritten>;
  void sweep();
  void keep_to_limit(std::int64_t added_bytes);
  /// However old it is.
  Result<StoredResponse> look_up(const ResponseOwner& owner, std::string_view id);

  const Options options_;
  ResponseStore store_;
  Mutex mutex_;
  CondVar written_;
  std::vector<Pending> pending_ GUARDED_BY(mutex_);
  bool queued_ GUARDED_BY(mutex_) = false;   // a worker will write
  bool writing_ GUARDED_BY(mutex_) = false;  // a thread does
  /// What the database has, at most: what was removed one by one is not subtracted. Negative: not known.
  /// Of the thread that writes.
  std::int64_t stored_bytes_ = -1;
  std::optional<TimePoint> swept_ GUARDED_BY(mutex_);
};

/// Whose a caller's responses are.
ResponseOwner response_owner(const Caller& caller);

}  // namespace mlxd
