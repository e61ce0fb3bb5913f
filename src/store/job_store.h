// Long jobs over models and what they have to tell, in the order in which they were asked for. Thread rule:
// as Database, which must outlive this.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/database.h"

namespace mlxd {

enum class JobState {
  kQueued,       // waits for its turn, also after a restart
  kRunning,      // one at a time
  kDone,         // has its result
  kFailed,       // the error says why
  kCancelled,    // by someone
  kInterrupted,  // the server ended while it ran
};
std::string_view to_string(JobState state);
/// Nothing for any other name.
std::optional<JobState> job_state_of(std::string_view text);
inline bool is_over(JobState state) { return state != JobState::kQueued && state != JobState::kRunning; }

struct JobRecord {
  std::string id;
  std::string kind;
  std::optional<std::string> user_id = {};  // absent: the state folder's owner, or an account that is gone
  std::string parameters_json = "{}";       // complete
  std::string input = {};                   // too long for a list; `list` and `find` leave it out
  JobState state = JobState::kQueued;
  std::string step = {};        // what it does now, or did last
  double progress = 0.0;        // 0 … 1
  std::string error_code = {};  // of one that failed, was cancelled or interrupted; as to_string(ErrorKind)
  std::string error_message = {};
  std::string result_json = {};  // empty: none
  std::int64_t created_at = 0;   // seconds since 1970, as all times here
  std::optional<std::int64_t> started_at = {};
  std::optional<std::int64_t> ended_at = {};
  std::int64_t num_log_lines = 0;
};

struct JobLogLine {
  std::int64_t number = 0;  // from 0
  std::int64_t at = 0;
  std::string text;
};

class JobStore {
 public:
  explicit JobStore(Database& database) : database_(database) {}

  struct Query {
    std::optional<std::string> user_id = {};  // absent: everybody's
    std::optional<std::string> kind = {};
    std::optional<JobState> state = {};
    std::int64_t limit = 100;
  };
  /// The newest first.
  Result<std::vector<JobRecord>> list(const Query& query);
  /// Errors: kNotFound.
  Result<JobRecord> find(std::string_view id);
  /// Those that wait or run, the oldest first, with their input.
  Result<std::vector<JobRecord>> active();

  Result<void> add(const JobRecord& record);
  /// State, step, progress, error, result and times of one that is there; the input goes when it is over.
  /// Nothing happens to one that is gone.
  Result<void> save(const JobRecord& record);
  /// With its log. Errors: kNotFound.
  Result<void> remove(std::string_view id);
  /// Of those that are over the newest `count` stay.
  Result<void> keep_newest(std::int64_t count);

  Result<void> add_log_line(std::string_view job_id, const JobLogLine& line);
  /// Lines from number `from` on.
  Result<std::vector<JobLogLine>> log(std::string_view job_id, std::int64_t from, std::int64_t limit);

 private:
  Database& database_;
};

}  // namespace mlxd
