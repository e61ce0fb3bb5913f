// Long jobs over models, one at a time in the order in which they were asked for, on a thread of its own and
// of low priority. What is asked for and what became of it is in the database, so a restart goes on with what
// waits and tells what was interrupted. Thread-safe; calls wait for the database: not for I/O threads. Of the
// kinds, which run on its thread, see job_kind.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "server/job_kind.h"
#include "store/job_store.h"

namespace mlxd {

/// A job as others see it.
struct JobStatus {
  JobRecord record;
  bool cancelling = false;       // asked to stop, and about to
  std::int64_t jobs_before = 0;  // of one that waits
};

class JobQueue {
 public:
  struct Options {
    Database* database = nullptr;
    std::vector<JobKind> kinds = {};
    /// Whether jobs run here; false: they can only be looked at, and those that wait wait on.
    bool runs = true;
    /// A job has changed: at once when its state, its step or its log does, else a few times a second. These
    /// are called on any thread and must not call this object.
    std::function<void(const JobStatus& status)> on_change = {};
    std::function<void(const JobStatus& status, const JobLogLine& line)> on_log = {};
    std::function<void(const JobStatus& status)> on_gone = {};  // forgotten
    const Clock* clock = &Clock::real();
    std::size_t max_waiting = 100;
    std::int64_t max_ended = 500;  // that are remembered
  };

  /// Tells what a crash has interrupted. Errors: the database's.
  static Result<std::unique_ptr<JobQueue>> open(Options options);
  /// Runs jobs from now on, if they run here. Once, by the owner.
  void begin();
  /// As `stop`, and waits for the thread.
  ~JobQueue();
  /// Begins no other job and tells the one that runs to stop: it counts as interrupted. Returns at once.
  void stop();

  const std::vector<JobKind>& kinds() const { return options_.kinds; }
  /// Errors: kNotFound, naming those that there are.
  Result<const JobKind*> kind(std::string_view name) const;

  /// Takes a wish that the kind has checked. Errors: kConflict (another job makes the same), kOverloaded (too
  /// many wait), kUnavailable (jobs do not run here); the database's.
  Result<JobStatus> add(const JobKind& kind, const JobWish& wish, std::optional<std::string> user_id);
  /// The newest first.
  Result<std::vector<JobStatus>> list(const JobStore::Query& query);
  // Of all these a `user_id` asks for its own jobs only: another's is kNotFound.
  Result<JobStatus> find(std::string_view id, const std::optional<std::string>& user_id);
  Result<std::vector<JobLogLine>> log(std::string_view id, const std::optional<std::string>& user_id,
                                      std::int64_t from, std::int64_t limit);
  /// One that waits is over at once, one that runs soon. Errors: kConflict (it is over already).
  Result<JobStatus> cancel(std::string_view id, const std::optional<std::string>& user_id);
  /// Forgets one that is over. Errors: kConflict (it is not).
  Result<void> remove(std::string_view id, const std::optional<std::string>& user_id);

 private:
  struct Job;
  using JobPtr = std::shared_ptr<Job>;
  class Run;

  explicit JobQueue(Options options) : options_(std::move(options)), store_(*options_.database) {}
  Result<void> restore();
  void work();
  Result<boost::json::object> try_run(const JobPtr& job);
  static Result<JobWish> wish_of(const Job& job);
  void end(const JobPtr& job, Result<boost::json::object> outcome);
  JobStatus describe(const Job& job) const REQUIRES(mutex_);
  JobStatus describe(const JobRecord& record) const REQUIRES(mutex_);
  Result<JobStatus> look_up(std::string_view id, const std::optional<std::string>& user_id) REQUIRES(mutex_);
  JobPtr active(std::string_view id) const REQUIRES(mutex_);
  void save_or_tell(const JobRecord& record) REQUIRES(mutex_);
  /// To whoever listens.
  void tell(const JobStatus& status) const EXCLUDES(mutex_);

  const Options options_;
  mutable Mutex mutex_;
  CondVar wake_;
  JobStore store_ GUARDED_BY(mutex_);
  std::deque<JobPtr> jobs_ GUARDED_BY(mutex_);  // those that run or wait, in order
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace mlxd
