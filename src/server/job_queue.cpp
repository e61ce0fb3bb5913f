#include "server/job_queue.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <exception>
#include <new>
#include <utility>

#include "base/log.h"
#include "base/thread_priority.h"
#include "security/token.h"

namespace mlxd {
namespace {

namespace json = boost::json;

constexpr auto kTellInterval = std::chrono::milliseconds(250);
constexpr auto kSaveInterval = std::chrono::seconds(5);
constexpr std::int64_t kMaxLogLines = 1000;
constexpr std::size_t kMaxLineBytes = 2000;
constexpr std::size_t kIdBytes = 9;

Error no_job(std::string_view id) {
  return not_found("there is no job '" + std::string(id.substr(0, 100)) + "'");
}

void set_error(JobRecord& record, ErrorKind kind, std::string message) {
  record.error_code = to_string(kind);
  record.error_message = std::move(message);
}

}  // namespace

// Guarded by the queue's mutex, but for `stop`; the record's own facts (kind, wish) are constant.
struct JobQueue::Job {
  JobRecord record;
  const JobKind* kind = nullptr;  // null: this program does not know it
  std::string input;              // see JobWish; not in the record, which is copied often
  std::string output;             // see JobKind
  bool cancelled = false;         // by someone
  std::atomic<bool> stop{false};
  TimePoint told{};
  TimePoint saved{};
};

// What the kind tells of the job that runs.
class JobQueue::Run final : public JobRun {
 public:
  Run(JobQueue& queue, JobPtr job) : queue_(queue), job_(std::move(job)) {}

  void enter(std::string_view step) override {
    JobStatus status;
    {
      const MutexLock lock(queue_.mutex_);
      job_->record.step = step;
      job_->told = job_->saved = queue_.options_.clock->now();
      queue_.save_or_tell(job_->record);
      status = queue_.describe(*job_);
    }
    queue_.tell(status);
  }

  void progress(double fraction) override {
    JobStatus status;
    {
      const MutexLock lock(queue_.mutex_);
      job_->record.progress = std::clamp(fraction, 0.0, 1.0);
      const TimePoint now = queue_.options_.clock->now();
      if (now - job_->told < kTellInterval) return;
      job_->told = now;
      if (now - job_->saved >= kSaveInterval) {
        job_->saved = now;
        queue_.save_or_tell(job_->record);
      }
      status = queue_.describe(*job_);
    }
    queue_.tell(status);
  }

  void log(const std::string& line) override {
    JobStatus status;
    JobLogLine entry{
        .number = 0, .at = queue_.options_.clock->wall_seconds(), .text = line.substr(0, kMaxLineBytes)};
    {
      const MutexLock lock(queue_.mutex_);
      if (job_->record.num_log_lines >= kMaxLogLines) return;
      entry.number = job_->record.num_log_lines++;
      if (const auto added = queue_.store_.add_log_line(job_->record.id, entry); !added.ok())
        log::error("a line of the log of job {} is lost: {}", job_->record.id, added.error().message);
      status = queue_.describe(*job_);
    }
    if (queue_.options_.on_log) queue_.options_.on_log(status, entry);
    queue_.tell(status);
  }

  const std::atomic<bool>& stop() const override { return job_->stop; }

 private:
  JobQueue& queue_;
  const JobPtr job_;
};

Result<std::unique_ptr<JobQueue>> JobQueue::open(Options options) {
  std::unique_ptr<JobQueue> queue(new JobQueue(std::move(options)));
  TRY(queue->restore());
  return queue;
}

Result<void> JobQueue::restore() {
  const MutexLock lock(mutex_);
  for (JobRecord& record : TRY(store_.active())) {
    if (record.state == JobState::kRunning) {
      record.state = JobState::kInterrupted;
      record.ended_at = options_.clock->wall_seconds();
      set_error(record, ErrorKind::kUnavailable,
                "the server ended without warning while it ran (a crash, a kill or a power cut): nothing was "
                "made; start it again");
      TRY(store_.save(record));
      continue;
    }
    auto job = std::make_shared<Job>();
    job->input = std::exchange(record.input, {});
    job->record = std::move(record);
    if (const auto known = kind(job->record.kind); known.ok()) job->kind = *known;
    if (const auto wish = wish_of(*job); wish.ok() && job->kind->output)
      job->output = job->kind->output(*wish);
    jobs_.push_back(std::move(job));
  }
  return {};
}

void JobQueue::begin() {
  if (options_.runs && !thread_.joinable()) thread_ = std::thread([this] { work(); });
}

JobQueue::~JobQueue() {
  stop();
  if (thread_.joinable()) thread_.join();
}

void JobQueue::stop() {
  const MutexLock lock(mutex_);
  stopping_ = true;
  for (const JobPtr& job : jobs_) job->stop = true;
  wake_.notify_all();
}

Result<const JobKind*> JobQueue::kind(std::string_view name) const {
  std::string names;
  for (const JobKind& each : options_.kinds) {
    if (each.name == name) return &each;
    names += (names.empty() ? "" : ", ") + std::string(each.name);
  }
  return Error(ErrorKind::kInvalidArgument,
               "there is no kind of job '" + std::string(name.substr(0, 100)) + "': there are " + names,
               "kind");
}

Result<JobStatus> JobQueue::add(const JobKind& kind, const JobWish& wish,
                                std::optional<std::string> user_id) {
  if (!options_.runs)
    return Error(ErrorKind::kUnavailable, "no jobs run here: start a server with 'mlxd serve'");
  auto job = std::make_shared<Job>();
  job->kind = &kind;
  if (kind.output) job->output = kind.output(wish);
  JobRecord& record = job->record;
  record.id = random_token(kIdBytes);
  record.kind = kind.name;
  record.user_id = std::move(user_id);
  record.parameters_json = json::serialize(wish.parameters);
  record.input = wish.input;
  record.created_at = options_.clock->wall_seconds();
  JobStatus status;
  {
    const MutexLock lock(mutex_);
    if (stopping_) return Error(ErrorKind::kUnavailable, "the server is stopping");
    if (jobs_.size() > options_.max_waiting)
      return Error(ErrorKind::kOverloaded,
                   std::to_string(jobs_.size()) + " jobs wait already: cancel some, or come again later");
    for (const JobPtr& other : jobs_) {
      if (!job->output.empty() && other->output == job->output)
        return Error(
            ErrorKind::kConflict,
            "the job " + other->record.id + " makes a model '" + job->output + "': give another name",
            "parameters.name");
    }
    TRY(store_.add(record));
    job->input = std::exchange(record.input, {});
    jobs_.push_back(job);
    wake_.notify_all();
    status = describe(*job);
  }
  tell(status);
  return status;
}

Result<std::vector<JobStatus>> JobQueue::list(const JobStore::Query& query) {
  const MutexLock lock(mutex_);
  std::vector<JobStatus> all;
  for (const JobRecord& record : TRY(store_.list(query))) all.push_back(describe(record));
  return all;
}

Result<JobStatus> JobQueue::find(std::string_view id, const std::optional<std::string>& user_id) {
  const MutexLock lock(mutex_);
  return look_up(id, user_id);
}

Result<JobStatus> JobQueue::look_up(std::string_view id, const std::optional<std::string>& user_id) {
  JobRecord record = TRY(store_.find(id));
  if (user_id && record.user_id != user_id) return no_job(id);
  return describe(record);
}

Result<std::vector<JobLogLine>> JobQueue::log(std::string_view id, const std::optional<std::string>& user_id,
                                              std::int64_t from, std::int64_t limit) {
  const MutexLock lock(mutex_);
  TRY(look_up(id, user_id));
  return store_.log(id, from, limit);
}

Result<JobStatus> JobQueue::cancel(std::string_view id, const std::optional<std::string>& user_id) {
  JobStatus status;
  {
    const MutexLock lock(mutex_);
    status = TRY(look_up(id, user_id));
    const JobPtr job = active(id);
    if (job == nullptr)
      return Error(ErrorKind::kConflict, "the job is " + std::string(to_string(status.record.state)) +
                                             ": there is nothing to cancel");
    job->cancelled = true;
    job->stop = true;
    if (job->record.state == JobState::kQueued) {
      job->record.state = JobState::kCancelled;
      job->record.ended_at = options_.clock->wall_seconds();
      set_error(job->record, ErrorKind::kCancelled, "cancelled before it began");
      TRY(store_.save(job->record));
      std::erase(jobs_, job);
    }
    status = describe(*job);
  }
  tell(status);
  return status;
}

Result<void> JobQueue::remove(std::string_view id, const std::optional<std::string>& user_id) {
  JobStatus status;
  {
    const MutexLock lock(mutex_);
    status = TRY(look_up(id, user_id));
    if (!is_over(status.record.state) || active(id) != nullptr)
      return Error(ErrorKind::kConflict,
                   "the job is " + std::string(to_string(status.record.state)) + ": cancel it first");
    TRY(store_.remove(id));
  }
  if (options_.on_gone) options_.on_gone(status);
  return {};
}

JobQueue::JobPtr JobQueue::active(std::string_view id) const {
  for (const JobPtr& job : jobs_)
    if (job->record.id == id) return job;
  return nullptr;
}

JobStatus JobQueue::describe(const Job& job) const {
  JobStatus status;
  status.record = job.record;
  status.cancelling = job.cancelled && !is_over(job.record.state);
  for (const JobPtr& other : jobs_) {
    if (other.get() == &job) break;
    ++status.jobs_before;
  }
  if (job.record.state != JobState::kQueued) status.jobs_before = 0;
  return status;
}

JobStatus JobQueue::describe(const JobRecord& record) const {
  if (const JobPtr job = active(record.id)) return describe(*job);
  return {.record = record};
}

void JobQueue::save_or_tell(const JobRecord& record) {
  if (const auto saved = store_.save(record); !saved.ok())
    log::error("cannot keep the state of job {}: {}", record.id, saved.error().message);
}

void JobQueue::tell(const JobStatus& status) const {
  if (options_.on_change) options_.on_change(status);
}

void JobQueue::work() {
  lower_thread_priority();
  for (;;) {
    JobPtr job;
    JobStatus status;
    {
      const MutexLock lock(mutex_);
      while (jobs_.empty() && !stopping_) wake_.wait(mutex_);
      // What waits goes on after the next start.
      if (stopping_) return;
      job = jobs_.front();
      job->record.state = JobState::kRunning;
      job->record.started_at = options_.clock->wall_seconds();
      save_or_tell(job->record);
      status = describe(*job);
    }
    tell(status);
    end(job, try_run(job));
  }
}

// Read anew: it may have been written by another version of this program.
Result<JobWish> JobQueue::wish_of(const Job& job) {
  if (job.kind == nullptr)
    return unsupported("this program knows no job of kind '" + job.record.kind +
                       "': it was asked of another version");
  json::error_code code;
  const json::value parameters = json::parse(job.record.parameters_json, code);
  if (code || !parameters.is_object()) return corrupt_data("the job's parameters are damaged: ask again");
  JobWish wish = TRY(read_job_parameters(*job.kind, parameters.get_object()));
  wish.input = job.input;
  return wish;
}

// What it throws becomes an error: this thread has no one above it.
Result<json::object> JobQueue::try_run(const JobPtr& job) {
  try {
    const JobWish wish = TRY(wish_of(*job));
    Run run(*this, job);
    return job->kind->run(wish, run);
  } catch (const std::bad_alloc&) {
    return Error(ErrorKind::kOutOfMemory, "the system has too little memory for this job");
  } catch (const std::exception& failure) {
    return Error(ErrorKind::kInternal, std::string("the job failed: ") + failure.what());
  }
}

void JobQueue::end(const JobPtr& job, Result<json::object> outcome) {
  JobStatus status;
  {
    const MutexLock lock(mutex_);
    JobRecord& record = job->record;
    record.ended_at = options_.clock->wall_seconds();
    if (outcome.ok()) {
      record.state = JobState::kDone;
      record.progress = 1.0;
      record.step.clear();
      record.result_json = json::serialize(*outcome);
    } else if (job->cancelled) {
      record.state = JobState::kCancelled;
      set_error(record, ErrorKind::kCancelled, "cancelled while it ran: nothing was made");
    } else if (stopping_) {
      record.state = JobState::kInterrupted;
      set_error(record, ErrorKind::kUnavailable,
                "the server was stopped while it ran: nothing was made; start it again");
    } else {
      record.state = JobState::kFailed;
      set_error(record, outcome.error().kind, outcome.error().message);
      log::warn("job {} ({}) failed: {}", record.id, record.kind, outcome.error().message);
    }
    save_or_tell(record);
    std::erase(jobs_, job);
    if (const auto kept = store_.keep_newest(options_.max_ended); !kept.ok())
      log::error("old jobs could not be removed: {}", kept.error().message);
    status = describe(*job);
  }
  tell(status);
}

}  // namespace mlxd
