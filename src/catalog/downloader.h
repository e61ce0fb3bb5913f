// Downloads of whole repositories into the hub's cache: several files at a time, remembered in a journal,
// gone on with where they stopped. Thread-safe; its own threads do the work.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "catalog/blob_download.h"
#include "catalog/download.h"
#include "catalog/download_plan.h"
#include "catalog/hub_client.h"

namespace mlxd {

class Downloader {
 public:
  struct Options {
    int parallel_files = 4;
    std::chrono::milliseconds retry_base{500};
    /// Tries in a row without a byte before a download fails; 0: it waits for the network for ever.
    int attempts = 0;
    /// Bytes of the disk that are left to others.
    std::uint64_t reserve_bytes = std::uint64_t{64} << 20U;
    std::function<std::optional<std::uint64_t>(const std::filesystem::path&)> free_bytes = {};  // empty: asks
    std::function<ssize_t(int, const void*, std::size_t)> write = {};  // empty: the system's
    /// A download has changed: at once when its state does, else a few times a second. On any thread, one
    /// call at a time, in the order of the changes; must not call this object.
    std::function<void(const DownloadStatus&)> on_change = {};
    const Clock* clock = &Clock::real();
  };

  /// Goes on with what the journal says was under way. Errors: the journal's.
  static Result<std::unique_ptr<Downloader>> start(HubClient hub, std::unique_ptr<DownloadJournal> journal,
                                                   Options options);
  /// Stops at once; what came is kept and the journal says that it goes on.
  ~Downloader();
  /// As the destructor, but the object can still be asked.
  void stop();

  struct Wish {
    std::string repository;
    std::string revision = "main";
    std::vector<std::string> patterns = {};  // empty: what a model needs
    std::string owner = {};                  // see DownloadRecord
  };
  struct Begun {
    DownloadStatus status;
    bool joined = false;  // it was there already; resumed if it stood
  };
  /// Errors: kInvalidArgument; kConflict (under way with other patterns, or offline mode); the journal's.
  Result<Begun> begin(const Wish& wish);

  std::vector<DownloadStatus> list() const;
  // Errors of all these: kNotFound, kConflict (not in this state; to resume, offline mode), the journal's.
  Result<DownloadStatus> status(const std::string& id) const;
  Result<void> pause(const std::string& id);
  Result<void> resume(const std::string& id);
  /// Ends it and removes what it brought and no other revision uses.
  Result<void> cancel(const std::string& id);
  /// Drops the record of one that is over; its files stay.
  Result<void> forget(const std::string& id);
  /// Whether a download of this repository is under way or paused.
  bool uses(const std::string& repository) const;

  const HubClient& hub() const { return hub_; }

 private:
  struct Job;
  using JobPtr = std::shared_ptr<Job>;
  enum class Work { kPlan, kFile, kFinish, kCleanUp };
  struct Task {
    Work work = Work::kPlan;
    JobPtr job;
    std::size_t file = 0;
  };

  Downloader(HubClient hub, std::unique_ptr<DownloadJournal> journal, Options options);
  void work();
  bool take(Task& task) REQUIRES(mutex_);
  void run(const Task& task, HttpTransfer& transfer);
  void plan(const JobPtr& job);
  Result<DownloadPlan> make_plan(const JobPtr& job, StopFlag& stop);
  Result<HubModel> ask_hub(const JobPtr& job, StopFlag& stop);
  void fetch(const JobPtr& job, std::size_t index, HttpTransfer& transfer);
  void finish(const JobPtr& job);
  void clean_up(const JobPtr& job);
  void set_waiting(const JobPtr& job, const std::string& reason);
  void count(const JobPtr& job, std::size_t file, std::uint64_t present, std::size_t received);
  /// What becomes of a job that could not go on: in offline mode it waits for better times.
  DownloadState state_after_failure() const;
  /// Ends or pauses a job unless someone else did meanwhile.
  void stand(const JobPtr& job, const StopFlag* stop, DownloadState state, const std::string& message);
  DownloadStatus describe(const Job& job) const REQUIRES(mutex_);
  JobPtr find(const std::string& id) const REQUIRES(mutex_);
  Result<void> save(Job& job) REQUIRES(mutex_);
  /// As `save`, for a state that holds whether it is written or not.
  void save_or_tell(Job& job) REQUIRES(mutex_);
  /// Whether another job of the same repository is so.
  bool another(const Job& job, bool (*is)(const Job&)) const REQUIRES(mutex_);
  static bool is_running(const Job& job);
  static bool is_being_cleaned(const Job& job);
  static bool will_go_on(const Job& job);
  void tell(const JobPtr& job) EXCLUDES(mutex_);

  const HubClient hub_;
  const Options options_;
  mutable Mutex mutex_;
  CondVar wake_;
  std::unique_ptr<DownloadJournal> journal_ GUARDED_BY(mutex_);
  std::deque<JobPtr> jobs_ GUARDED_BY(mutex_);  // in order of creation
  mutable std::uint64_t version_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::deque<DownloadStatus> news_ GUARDED_BY(mutex_);  // to be told, in order
  bool telling_ GUARDED_BY(mutex_) = false;             // some thread tells them
  std::vector<std::thread> threads_;
};

}  // namespace mlxd
