#include "catalog/downloader.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <random>
#include <utility>

#include "base/log.h"
#include "catalog/download_plan.h"
#include "catalog/hub_cache.h"
#include "catalog/hub_names.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;

constexpr auto kTellInterval = std::chrono::milliseconds(250);
constexpr auto kSpeedWindow = std::chrono::seconds(5);
constexpr std::int64_t kMinSpeedMs = 200;

std::string make_id() {
  std::random_device random;
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "%08x%04x", random(), random() & 0xFFFFU);
  return text.data();
}

Error unknown_download(const std::string& id) {
  return not_found("there is no download '" + id.substr(0, 100) + "'");
}

Error wrong_state(const DownloadRecord& record, const std::string& wish) {
  return {ErrorKind::kConflict, "the download of " + record.repository + " is " +
                                    std::string(to_string(record.state)) + ": it cannot be " + wish};
}

}  // namespace

// Guarded by the Downloader's mutex, but for `stop`, which is thread-safe.
struct Downloader::Job {
  DownloadRecord record;
  struct File {
    HubFile facts;
    std::uint64_t present_bytes = 0;
    bool started = false;
    bool done = false;
  };
  std::vector<File> files;
  std::shared_ptr<StopFlag> stop = std::make_shared<StopFlag>();  // of this run; a resumed job gets a new one
  bool planned = false;
  int active = 0;  // tasks that work on it now
  std::string waiting;
  std::deque<std::pair<TimePoint, std::uint64_t>> received;  // bytes of the last seconds
  TimePoint told{};
};

Downloader::Downloader(HubClient hub, std::unique_ptr<DownloadJournal> journal, Options options)
    : hub_(std::move(hub)), options_(std::move(options)), journal_(std::move(journal)) {}

Result<std::unique_ptr<Downloader>> Downloader::start(HubClient hub, std::unique_ptr<DownloadJournal> journal,
                                                      Options options) {
  std::vector<DownloadRecord> records = TRY(journal->load());
  std::unique_ptr<Downloader> downloader(
      new Downloader(std::move(hub), std::move(journal), std::move(options)));
  {
    const MutexLock lock(downloader->mutex_);
    for (DownloadRecord& record : records) {
      auto job = std::make_shared<Job>();
      if (record.state == DownloadState::kRunning) record.state = DownloadState::kQueued;
      job->record = std::move(record);
      downloader->jobs_.push_back(std::move(job));
    }
  }
  for (int i = 0; i < std::max(1, downloader->options_.parallel_files); ++i)
    downloader->threads_.emplace_back([raw = downloader.get()] { raw->work(); });
  return downloader;
}

Downloader::~Downloader() { stop(); }

void Downloader::stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    for (const JobPtr& job : jobs_) job->stop->stop();
    wake_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

Result<Downloader::Begun> Downloader::begin(const Wish& wish) {
  TRY(check_repository_id(wish.repository));
  TRY(check_revision(wish.revision));
  TRY(hub_.check_online(wish.repository));
  JobPtr job;
  bool joined = false;
  {
    const MutexLock lock(mutex_);
    for (auto it = jobs_.begin(); it != jobs_.end(); ++it) {
      const DownloadRecord& record = (*it)->record;
      if (record.repository != wish.repository || record.revision != wish.revision) continue;
      if (record.state == DownloadState::kDone) {
        TRY(journal_->remove(record.id));
        jobs_.erase(it);
        break;
      }
      // One that is being cleaned away goes its way; a new one is made beside it.
      if (record.state == DownloadState::kCancelled) continue;
      if (record.patterns != wish.patterns)
        return Error(ErrorKind::kConflict, "a download of " + record.repository + " at " + record.revision +
                                               " with other files is not over: cancel it first");
      job = *it;
      joined = true;
      break;
    }
    if (joined) {
      DownloadRecord& record = job->record;
      if (record.state == DownloadState::kPaused || record.state == DownloadState::kFailed) {
        record.state = DownloadState::kQueued;
        record.message.clear();
        record.ended = 0;
        job->planned = false;
        job->stop = std::make_shared<StopFlag>();
        TRY(save(*job));
      }
    } else {
      job = std::make_shared<Job>();
      job->record.id = make_id();
      job->record.owner = wish.owner;
      job->record.repository = wish.repository;
      job->record.revision = wish.revision;
      job->record.patterns = wish.patterns;
      job->record.created = options_.clock->wall_seconds();
      TRY(save(*job));
      jobs_.push_back(job);
    }
    wake_.notify_all();
  }
  tell(job);
  const MutexLock lock(mutex_);
  return Begun{describe(*job), joined};
}

Result<void> Downloader::pause(const std::string& id) {
  JobPtr job;
  {
    const MutexLock lock(mutex_);
    job = find(id);
    if (job == nullptr) return unknown_download(id);
    DownloadRecord& record = job->record;
    if (record.state != DownloadState::kQueued && record.state != DownloadState::kRunning)
      return wrong_state(record, "paused");
    record.state = DownloadState::kPaused;
    record.message = "paused";
    job->stop->stop();
    job->waiting.clear();
    TRY(save(*job));
  }
  tell(job);
  return {};
}

Result<void> Downloader::resume(const std::string& id) {
  const Result<void> online = hub_.check_online("the rest of the download");
  JobPtr job;
  {
    const MutexLock lock(mutex_);
    job = find(id);
    if (job == nullptr) return unknown_download(id);
    DownloadRecord& record = job->record;
    if (record.state != DownloadState::kPaused && record.state != DownloadState::kFailed)
      return wrong_state(record, "resumed");
    if (!online.ok()) return online.error();
    record.state = DownloadState::kQueued;
    record.message.clear();
    record.ended = 0;
    job->planned = false;
    job->stop = std::make_shared<StopFlag>();
    TRY(save(*job));
    wake_.notify_all();
  }
  tell(job);
  return {};
}

Result<void> Downloader::cancel(const std::string& id) {
  JobPtr job;
  {
    const MutexLock lock(mutex_);
    job = find(id);
    if (job == nullptr) return unknown_download(id);
    DownloadRecord& record = job->record;
    if (record.state == DownloadState::kDone || record.state == DownloadState::kCancelled)
      return wrong_state(record, "cancelled");
    record.state = DownloadState::kCancelled;
    record.message.clear();
    record.ended = 0;  // until its traces are gone
    job->stop->stop();
    job->waiting.clear();
    TRY(save(*job));
    wake_.notify_all();
  }
  tell(job);
  return {};
}

Result<void> Downloader::forget(const std::string& id) {
  const MutexLock lock(mutex_);
  const JobPtr job = find(id);
  if (job == nullptr) return unknown_download(id);
  // Whoever wrote down the end is about to leave.
  while (is_over(job->record.state) && job->record.ended != 0 && job->active > 0) wake_.wait(mutex_);
  if (!is_over(job->record.state) || job->record.ended == 0) return wrong_state(job->record, "forgotten");
  if (find(id) != job) return unknown_download(id);
  TRY(journal_->remove(id));
  jobs_.erase(std::find(jobs_.begin(), jobs_.end(), job));
  return {};
}

std::vector<DownloadStatus> Downloader::list() const {
  const MutexLock lock(mutex_);
  std::vector<DownloadStatus> all;
  for (const JobPtr& job : jobs_) all.push_back(describe(*job));
  return all;
}

Result<DownloadStatus> Downloader::status(const std::string& id) const {
  const MutexLock lock(mutex_);
  const JobPtr job = find(id);
  if (job == nullptr) return unknown_download(id);
  return describe(*job);
}

bool Downloader::uses(const std::string& repository) const {
  const MutexLock lock(mutex_);
  return std::any_of(jobs_.begin(), jobs_.end(), [&](const JobPtr& job) {
    return job->record.repository == repository && (!is_over(job->record.state) || job->active > 0);
  });
}

Downloader::JobPtr Downloader::find(const std::string& id) const {
  for (const JobPtr& job : jobs_)
    if (job->record.id == id) return job;
  return nullptr;
}

DownloadStatus Downloader::describe(const Job& job) const {
  DownloadStatus status;
  status.version = ++version_;
  status.record = job.record;
  status.waiting = job.waiting;
  for (const Job::File& file : job.files) {
    status.files.push_back({file.facts.path, file.facts.size_bytes, file.present_bytes, file.done,
                            (file.facts.sha256.empty() ? "gitsha1:" : "sha256:") + file.facts.etag()});
    status.present_bytes += file.present_bytes;
  }
  if (!job.record.commit.empty())
    status.snapshot =
        (RepositoryPaths(hub_.places().cache, job.record.repository).snapshots / job.record.commit).string();
  if (job.files.empty()) status.present_bytes = job.record.present_bytes;
  if (job.record.state == DownloadState::kDone) status.present_bytes = job.record.total_bytes;
  if (job.record.state != DownloadState::kRunning) return status;
  std::uint64_t bytes = 0;
  const TimePoint now = options_.clock->now();
  TimePoint first = now;
  for (const auto& [time, count] : job.received) {
    if (now - time > kSpeedWindow) continue;
    first = std::min(first, time);
    bytes += count;
  }
  const auto spent = std::chrono::duration_cast<std::chrono::milliseconds>(now - first).count();
  if (spent < kMinSpeedMs) return status;
  status.bytes_per_s = static_cast<double>(bytes) * 1000.0 / static_cast<double>(spent);
  if (status.bytes_per_s > 0.0 && job.record.total_bytes >= status.present_bytes)
    status.seconds_left =
        static_cast<double>(job.record.total_bytes - status.present_bytes) / status.bytes_per_s;
  return status;
}

Result<void> Downloader::save(Job& job) {
  if (!job.files.empty()) {
    job.record.present_bytes = 0;
    for (const Job::File& file : job.files) job.record.present_bytes += file.present_bytes;
  }
  return journal_->save(job.record);
}

void Downloader::save_or_tell(Job& job) {
  if (const auto saved = save(job); !saved)
    log::error("cannot keep the state of the download of {}: {}", job.record.repository,
               saved.error().message);
}

void Downloader::tell(const JobPtr& job) {
  if (!options_.on_change) return;
  {
    const MutexLock lock(mutex_);
    job->told = options_.clock->now();
    news_.push_back(describe(*job));
    if (telling_) return;
    telling_ = true;
  }
  // Whoever comes first tells what others add meanwhile: one at a time and in order, without a lock.
  for (;;) {
    DownloadStatus status;
    {
      const MutexLock lock(mutex_);
      if (news_.empty()) {
        telling_ = false;
        return;
      }
      status = std::move(news_.front());
      news_.pop_front();
    }
    try {
      options_.on_change(status);
    } catch (const std::exception& failure) {
      log::error("a change of the download of {} was not told: {}", status.record.repository, failure.what());
    }
  }
}

bool Downloader::is_running(const Job& job) { return job.record.state == DownloadState::kRunning; }
bool Downloader::is_being_cleaned(const Job& job) {
  return job.record.state == DownloadState::kCancelled && job.record.ended == 0 && job.active > 0;
}
bool Downloader::will_go_on(const Job& job) { return !is_over(job.record.state); }

bool Downloader::another(const Job& job, bool (*is)(const Job&)) const {
  for (const JobPtr& other : jobs_)
    if (other.get() != &job && other->record.repository == job.record.repository && is(*other)) return true;
  return false;
}

// Traces are removed while nothing else works on the repository, so that nothing counts on a blob that goes.
bool Downloader::take(Task& task) {
  for (const JobPtr& job : jobs_) {
    const DownloadRecord& record = job->record;
    if (another(*job, is_being_cleaned)) continue;
    if (record.state == DownloadState::kCancelled && record.ended == 0 && job->active == 0) {
      if (another(*job, is_running)) continue;
      task = {Work::kCleanUp, job, 0};
    } else if (record.state == DownloadState::kQueued && job->active == 0) {
      task = {Work::kPlan, job, 0};
      job->record.state = DownloadState::kRunning;
    } else if (record.state == DownloadState::kRunning && job->planned) {
      const auto next = std::find_if(job->files.begin(), job->files.end(),
                                     [](const Job::File& file) { return !file.started; });
      if (next != job->files.end()) {
        next->started = true;
        task = {Work::kFile, job, static_cast<std::size_t>(next - job->files.begin())};
      } else if (job->active == 0) {
        task = {Work::kFinish, job, 0};
      } else {
        continue;
      }
    } else {
      continue;
    }
    ++job->active;
    return true;
  }
  return false;
}

void Downloader::work() {
  auto transfer = HttpTransfer::create();
  if (!transfer) {
    log::error("no downloads: {}", transfer.error().message);
    return;
  }
  for (;;) {
    Task task;
    {
      const MutexLock lock(mutex_);
      while (!stopping_ && !take(task)) wake_.wait(mutex_);
      if (stopping_) return;
    }
    try {
      run(task, *transfer);
    } catch (const std::exception& failure) {
      stand(task.job, nullptr, DownloadState::kFailed, std::string("memory ran out: ") + failure.what());
    }
    const MutexLock lock(mutex_);
    --task.job->active;
    wake_.notify_all();
  }
}

void Downloader::run(const Task& task, HttpTransfer& transfer) {
  switch (task.work) {
    case Work::kPlan:
      return plan(task.job);
    case Work::kFile:
      return fetch(task.job, task.file, transfer);
    case Work::kFinish:
      return finish(task.job);
    case Work::kCleanUp:
      return clean_up(task.job);
  }
}

DownloadState Downloader::state_after_failure() const {
  return hub_.check_online({}).ok() ? DownloadState::kFailed : DownloadState::kPaused;
}

void Downloader::stand(const JobPtr& job, const StopFlag* stop, DownloadState state,
                       const std::string& message) {
  {
    const MutexLock lock(mutex_);
    if (stopping_ || job->record.state != DownloadState::kRunning) return;
    if (stop != nullptr && job->stop.get() != stop) return;
    job->record.state = state;
    job->record.message = message;
    job->record.ended = is_over(state) ? options_.clock->wall_seconds() : 0;
    job->waiting.clear();
    job->stop->stop();
    save_or_tell(*job);
  }
  tell(job);
}

void Downloader::set_waiting(const JobPtr& job, const std::string& reason) {
  {
    const MutexLock lock(mutex_);
    if (job->waiting == reason || job->record.state != DownloadState::kRunning) return;
    job->waiting = reason;
  }
  tell(job);
}

void Downloader::count(const JobPtr& job, std::size_t file, std::uint64_t present, std::size_t received) {
  bool due = false;
  {
    const MutexLock lock(mutex_);
    if (file >= job->files.size()) return;
    const TimePoint now = options_.clock->now();
    if (received > 0) {
      auto& window = job->received;
      if (window.empty() || now - window.back().first > kTellInterval) window.emplace_back(now, 0);
      window.back().second += received;
      while (now - window.front().first > kSpeedWindow) window.pop_front();
    } else {
      job->files[file].present_bytes = present;
    }
    due = now - job->told >= kTellInterval;
  }
  if (due) tell(job);
}

Result<HubModel> Downloader::ask_hub(const JobPtr& job, StopFlag& stop) {
  std::string repository;
  std::string revision;
  {
    const MutexLock lock(mutex_);
    repository = job->record.repository;
    revision = job->record.commit.empty() ? job->record.revision : job->record.commit;
  }
  for (int attempt = 1;; ++attempt) {
    auto model = hub_.model(repository, revision, stop);
    if (model || !is_worth_a_retry(model.error()) || options_.attempts > 0) return model;
    set_waiting(job, model.error().message);
    if (stop.wait_for(retry_delay(options_.retry_base, attempt))) return model;
  }
}

Result<DownloadPlan> Downloader::make_plan(const JobPtr& job, StopFlag& stop) {
  HubModel model = TRY(ask_hub(job, stop));
  std::vector<std::string> patterns;
  {
    const MutexLock lock(mutex_);
    model.id = job->record.repository;  // the hub may have renamed it; here it is what was asked for
    patterns = job->record.patterns;
  }
  const fs::path& cache = hub_.places().cache;
  DownloadPlan plan = TRY(plan_download(std::move(model), patterns, cache));
  const auto free = options_.free_bytes ? options_.free_bytes(cache) : free_bytes_of(cache);
  if (free) TRY(check_space(plan, cache, *free, options_.reserve_bytes));
  return plan;
}

void Downloader::plan(const JobPtr& job) {
  std::shared_ptr<StopFlag> stop;
  {
    const MutexLock lock(mutex_);
    stop = job->stop;
  }
  tell(job);
  auto made = make_plan(job, *stop);
  if (!made) {
    if (!stop->stopped()) stand(job, stop.get(), state_after_failure(), made.error().message);
    return;
  }
  {
    const MutexLock lock(mutex_);
    if (job->stop != stop || job->record.state != DownloadState::kRunning) return;
    job->waiting.clear();
    if (job->record.commit.empty()) job->record.owns_snapshot = !made->snapshot_existed;
    job->record.commit = made->commit;
    job->record.total_bytes = made->total_bytes;
    job->files.clear();
    for (std::size_t i = 0; i < made->files.size(); ++i) {
      const std::uint64_t present = made->present[i] ? made->files[i].size_bytes : 0;
      job->files.push_back({std::move(made->files[i]), present, false, false});
    }
    job->planned = true;
    save_or_tell(*job);
    wake_.notify_all();
  }
  tell(job);
}

void Downloader::fetch(const JobPtr& job, std::size_t index, HttpTransfer& transfer) {
  std::shared_ptr<StopFlag> stop;
  BlobDownload download{.hub = &hub_,
                        .repository = {},
                        .commit = {},
                        .file = {},
                        .paths = RepositoryPaths(hub_.places().cache, job->record.repository)};
  {
    const MutexLock lock(mutex_);
    stop = job->stop;
    download.repository = job->record.repository;
    download.commit = job->record.commit;
    download.file = job->files[index].facts;
  }
  download.retry_base = options_.retry_base;
  download.attempts = options_.attempts;
  download.write = options_.write;
  download.on_progress = [&](std::uint64_t present) { count(job, index, present, 0); };
  download.on_received = [&](std::size_t received) { count(job, index, 0, received); };
  download.on_wait = [&](const std::string& reason) { set_waiting(job, reason); };
  auto end = download_blob(download, transfer, *stop);
  if (end && *end == BlobEnd::kDone) {
    const auto linked = link_blob(download.paths, download.commit, download.file.path, download.file.etag());
    if (!linked) end = linked.error();
  }
  if (!end) {
    if (!stop->stopped()) stand(job, stop.get(), state_after_failure(), end.error().message);
    return;
  }
  if (*end == BlobEnd::kDiskFull)
    return stand(job, stop.get(), DownloadState::kPaused,
                 "the disk is full: make room in " + hub_.places().cache.string() +
                     ", then resume; what came is kept");
  if (*end == BlobEnd::kStopped) return;
  const MutexLock lock(mutex_);
  job->files[index].done = true;
  job->files[index].present_bytes = download.file.size_bytes;
}

void Downloader::finish(const JobPtr& job) {
  DownloadRecord record;
  {
    const MutexLock lock(mutex_);
    record = job->record;
    const bool whole =
        std::all_of(job->files.begin(), job->files.end(), [](const Job::File& file) { return file.done; });
    if (record.state != DownloadState::kRunning) return;
    if (!whole) {
      job->record.state = DownloadState::kFailed;
      job->record.message = "some files did not come: resume it";
      job->record.ended = options_.clock->wall_seconds();
      return save_or_tell(*job);
    }
  }
  const RepositoryPaths paths(hub_.places().cache, record.repository);
  if (const auto named = write_ref(paths, record.revision, record.commit); !named)
    return stand(job, nullptr, DownloadState::kFailed, named.error().message);
  {
    const MutexLock lock(mutex_);
    if (job->record.state != DownloadState::kRunning) return;
    job->record.state = DownloadState::kDone;
    job->record.message.clear();
    job->record.ended = options_.clock->wall_seconds();
    save_or_tell(*job);
  }
  tell(job);
}

void Downloader::clean_up(const JobPtr& job) {
  DownloadRecord record;
  bool alone = false;
  {
    const MutexLock lock(mutex_);
    record = job->record;
    alone = !another(*job, will_go_on);
  }
  remove_download_traces(hub_.places().cache, record, alone);
  {
    const MutexLock lock(mutex_);
    job->record.ended = options_.clock->wall_seconds();
    for (Job::File& file : job->files) file.present_bytes = 0;
    save_or_tell(*job);
  }
  tell(job);
}

}  // namespace mlxd
