#include "server/job_routes.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <optional>
#include <utility>

#include "api/field_reader.h"
#include "api/manage/job_codec.h"
#include "base/log.h"
#include "server/query_values.h"

namespace mlxd {
namespace {

namespace json = boost::json;
namespace manage = api::manage;

constexpr std::int64_t kMostJobs = 1000;
constexpr std::int64_t kMostLines = 1000;
// A text to score, escaped.
constexpr std::size_t kMaxBodyBytes = std::size_t{16} << 20U;

json::object encode(const JobStatus& status) {
  return manage::encode_job(status.record,
                            {.cancelling = status.cancelling, .jobs_before = status.jobs_before});
}

// Whose jobs a caller sees; absent: everybody's.
std::optional<std::string> owner_of(const Caller& caller) {
  return caller.administers() ? std::nullopt : std::optional(caller.user_id());
}

Result<ManageAnswer> begin(JobQueue& jobs, const http::Request& request, const Caller& caller) {
  manage::JobRequest wish = TRY(manage::decode_job_request(request.body));
  const JobKind& kind = *TRY(jobs.kind(wish.kind));
  if (kind.admin_only && !caller.administers())
    return Error(ErrorKind::kForbidden,
                 "a job of kind '" + wish.kind + "' changes the models that all have: ask an administrator",
                 "kind");
  const JobWish checked = TRY(read_job_parameters(kind, wish.parameters));
  TRY(kind.check(checked, caller));
  const std::string user = caller.user_id();
  const JobStatus begun = TRY(jobs.add(kind, checked, user.empty() ? std::nullopt : std::optional(user)));
  ManageAnswer answer{.status = 202, .body = encode(begun)};
  answer.headers.add("Location", "/api/v1/jobs/" + begun.record.id);
  return answer;
}

Result<ManageAnswer> list(JobQueue& jobs, const http::Request& request, const Caller& caller) {
  JobStore::Query query{.user_id = owner_of(caller)};
  query.limit = TRY(query_number(request.query, "limit", query.limit, kMostJobs));
  query.kind = TRY(query_value(request.query, "kind"));
  if (const auto state = TRY(query_value(request.query, "state"))) {
    query.state = job_state_of(*state);
    if (!query.state)
      return invalid_argument("state is '" + state->substr(0, 40) +
                                  "', must be queued, running, done, failed, cancelled or interrupted",
                              "state");
  }
  json::array all;
  for (const JobStatus& status : TRY(jobs.list(query))) all.push_back(encode(status));
  return ManageAnswer{.body = json::object{{"jobs", std::move(all)}}};
}

Result<ManageAnswer> show_log(JobQueue& jobs, const http::Request& request, const Caller& caller) {
  const std::string id(request.parameter("id"));
  const std::int64_t from = TRY(query_number(request.query, "from", 0, std::int64_t{1} << 40U));
  const std::int64_t limit = TRY(query_number(request.query, "limit", kMostLines, kMostLines));
  json::array lines;
  std::int64_t next = from;
  for (const JobLogLine& line : TRY(jobs.log(id, owner_of(caller), from, limit))) {
    lines.push_back(manage::encode_job_log_line(line));
    next = line.number + 1;
  }
  return ManageAnswer{.body = json::object{{"id", id}, {"lines", std::move(lines)}, {"next", next}}};
}

}  // namespace

void add_job_routes(ManageRoutes& routes, JobQueue& jobs) {
  routes.add("GET", "/api/v1/jobs", [&jobs](const http::Request& request, const Caller& caller) {
    return list(jobs, request, caller);
  });
  // Looks at models' files before it answers.
  routes.add_slow(
      "POST", "/api/v1/jobs",
      [&jobs](const http::Request& request, const Caller& caller, int&) {
        return begin(jobs, request, caller);
      },
      kMaxBodyBytes);
  routes.add("GET", "/api/v1/jobs/kinds",
             [&jobs](const http::Request&, const Caller&) -> Result<ManageAnswer> {
               json::array kinds;
               for (const JobKind& kind : jobs.kinds()) kinds.push_back(job_kind_json(kind));
               return ManageAnswer{.body = json::object{{"kinds", std::move(kinds)}}};
             });
  routes.add("GET", "/api/v1/jobs/{id}",
             [&jobs](const http::Request& request, const Caller& caller) -> Result<ManageAnswer> {
               return ManageAnswer{.body = encode(TRY(jobs.find(request.parameter("id"), owner_of(caller))))};
             });
  routes.add("DELETE", "/api/v1/jobs/{id}",
             [&jobs](const http::Request& request, const Caller& caller) -> Result<ManageAnswer> {
               TRY(jobs.remove(request.parameter("id"), owner_of(caller)));
               return ManageAnswer{.status = 204};
             });
  routes.add("GET", "/api/v1/jobs/{id}/log", [&jobs](const http::Request& request, const Caller& caller) {
    return show_log(jobs, request, caller);
  });
  routes.add(
      "POST", "/api/v1/jobs/{id}/cancel",
      [&jobs](const http::Request& request, const Caller& caller) -> Result<ManageAnswer> {
        return ManageAnswer{.body = encode(TRY(jobs.cancel(request.parameter("id"), owner_of(caller))))};
      });
}

JobQueue::Options with_events(JobQueue::Options options, EventHub& events) {
  options.on_change = [&events](const JobStatus& status) {
    events.publish_to(status.record.user_id.value_or(""), "job", json::serialize(encode(status)));
  };
  options.on_log = [&events](const JobStatus& status, const JobLogLine& line) {
    events.publish_to(
        status.record.user_id.value_or(""), "job_log",
        json::serialize(json::object{{"id", status.record.id}, {"line", manage::encode_job_log_line(line)}}));
  };
  options.on_gone = [&events](const JobStatus& status) {
    events.publish_to(status.record.user_id.value_or(""), "job_gone",
                      json::serialize(json::object{{"id", status.record.id}}));
  };
  return options;
}

std::string first_job_events(JobQueue& jobs, const Caller& caller) {
  json::array all;
  if (const auto listed = jobs.list({.user_id = owner_of(caller)}); listed.ok()) {
    for (const JobStatus& status : *listed) all.push_back(encode(status));
  } else {
    log::error("jobs cannot be listed: {}", listed.error().message);
  }
  return EventHub::encode("jobs", json::serialize(json::object{{"jobs", std::move(all)}}));
}

}  // namespace mlxd
