#include "store/job_store.h"

#include <array>
#include <utility>

#include "store/sql.h"

namespace mlxd {
namespace {

constexpr std::array<std::pair<JobState, std::string_view>, 6> kStates = {{
    {JobState::kQueued, "queued"},
    {JobState::kRunning, "running"},
    {JobState::kDone, "done"},
    {JobState::kFailed, "failed"},
    {JobState::kCancelled, "cancelled"},
    {JobState::kInterrupted, "interrupted"},
}};

// `rest` of a statement about jobs, whose columns `read_record` reads.
std::string select_jobs(const char* rest) {
  return std::string(
             "SELECT id, kind, user_id, parameters, state, step, progress, error_code, error_message, "
             "result, "
             "created_at, started_at, ended_at, (SELECT COUNT(*) FROM job_log WHERE job_id = jobs.id)") +
         rest;
}

JobRecord read_record(const Row& row) {
  JobRecord record;
  record.id = row.text(0);
  record.kind = row.text(1);
  if (!row.is_null(2)) record.user_id = row.text(2);
  record.parameters_json = row.text(3);
  // The table's own CHECK lets nothing else in.
  record.state = job_state_of(row.text(4)).value_or(JobState::kFailed);
  record.step = row.text(5);
  record.progress = row.number(6);
  record.error_code = row.text(7);
  record.error_message = row.text(8);
  record.result_json = row.text(9);
  record.created_at = row.integer(10);
  record.started_at = row.maybe_integer(11);
  record.ended_at = row.maybe_integer(12);
  record.num_log_lines = row.integer(13);
  return record;
}

Error no_job(std::string_view id) {
  return not_found("there is no job '" + std::string(id.substr(0, 100)) + "'");
}

std::optional<std::string> text_or_null(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

}  // namespace

std::string_view to_string(JobState state) {
  for (const auto& [each, name] : kStates)
    if (each == state) return name;
  return "failed";
}

std::optional<JobState> job_state_of(std::string_view text) {
  for (const auto& [state, name] : kStates)
    if (name == text) return state;
  return std::nullopt;
}

Result<std::vector<JobRecord>> JobStore::list(const Query& query) {
  return database_.read([&](Sql& sql) -> Result<std::vector<JobRecord>> {
    std::optional<std::string> state;
    if (query.state) state.emplace(to_string(*query.state));
    return sql.list(select_jobs(" FROM jobs WHERE (?1 IS NULL OR user_id = ?1) AND (?2 IS NULL OR kind = ?2) "
                                "AND (?3 IS NULL OR state = ?3) ORDER BY rowid DESC LIMIT ?4")
                        .c_str(),
                    read_record, query.user_id, query.kind, state, query.limit);
  });
}

Result<JobRecord> JobStore::find(std::string_view id) {
  return database_.read([&](Sql& sql) -> Result<JobRecord> {
    auto record = sql.first(select_jobs(" FROM jobs WHERE id = ?").c_str(), read_record, id);
    if (!record) return no_job(id);
    return std::move(*record);
  });
}

Result<std::vector<JobRecord>> JobStore::active() {
  return database_.read([](Sql& sql) -> Result<std::vector<JobRecord>> {
    return sql.list(
        select_jobs(", input FROM jobs WHERE state IN ('queued', 'running') ORDER BY rowid").c_str(),
        [](const Row& row) {
          JobRecord record = read_record(row);
          record.input = row.text(14);
          return record;
        });
  });
}

Result<void> JobStore::add(const JobRecord& record) {
  return database_.write([&](Sql& sql) -> Result<void> {
    sql.execute(
        "INSERT INTO jobs (id, kind, user_id, parameters, input, state, created_at) "
        "VALUES (?, ?, (SELECT id FROM users WHERE id = ?), ?, ?, ?, ?)",
        record.id, record.kind, record.user_id, record.parameters_json, record.input, to_string(record.state),
        record.created_at);
    return {};
  });
}

Result<void> JobStore::save(const JobRecord& record) {
  return database_.write([&](Sql& sql) -> Result<void> {
    sql.execute(
        "UPDATE jobs SET state = ?, step = ?, progress = ?, error_code = ?, error_message = ?, result = ?, "
        "started_at = ?, ended_at = ? WHERE id = ?",
        to_string(record.state), record.step, record.progress, record.error_code, record.error_message,
        text_or_null(record.result_json), record.started_at, record.ended_at, record.id);
    if (is_over(record.state)) sql.execute("UPDATE jobs SET input = '' WHERE id = ?", record.id);
    return {};
  });
}

Result<void> JobStore::remove(std::string_view id) {
  return database_.write([&](Sql& sql) -> Result<void> {
    if (sql.execute("DELETE FROM jobs WHERE id = ?", id) == 0) return no_job(id);
    return {};
  });
}

Result<void> JobStore::keep_newest(std::int64_t count) {
  return database_.write([&](Sql& sql) -> Result<void> {
    sql.execute(
        "DELETE FROM jobs WHERE rowid IN (SELECT rowid FROM jobs WHERE state NOT IN ('queued', 'running') "
        "ORDER BY rowid DESC LIMIT -1 OFFSET ?)",
        count);
    return {};
  });
}

Result<void> JobStore::add_log_line(std::string_view job_id, const JobLogLine& line) {
  return database_.write([&](Sql& sql) -> Result<void> {
    sql.execute("INSERT INTO job_log (job_id, number, at, text) VALUES (?, ?, ?, ?)", job_id, line.number,
                line.at, line.text);
    return {};
  });
}

Result<std::vector<JobLogLine>> JobStore::log(std::string_view job_id, std::int64_t from,
                                              std::int64_t limit) {
  return database_.read([&](Sql& sql) -> Result<std::vector<JobLogLine>> {
    return sql.list(
        "SELECT number, at, text FROM job_log WHERE job_id = ? AND number >= ? ORDER BY number LIMIT ?",
        [](const Row& row) {
          return JobLogLine{row.integer(0), row.integer(1), row.text(2)};
        },
        job_id, from, limit);
  });
}

}  // namespace mlxd
