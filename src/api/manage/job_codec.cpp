#include "api/manage/job_codec.h"

#include <boost/json/parse.hpp>
#include <optional>
#include <utility>

#include "api/field_reader.h"

namespace mlxd::api::manage {
namespace {

namespace json = boost::json;

json::value time_or_null(const std::optional<std::int64_t>& time) {
  return time ? json::value(*time) : json::value(nullptr);
}

// What the program has written itself; null if it is damaged.
json::value stored(const std::string& text) {
  json::error_code code;
  json::value value = json::parse(text, code);
  return code ? json::value(nullptr) : value;
}

Result<void> read_kind(const json::value& value, std::string_view field, JobRequest& request) {
  request.kind = TRY(read_string(value, field));
  return {};
}

Result<void> read_parameters(const json::value& value, std::string_view field, JobRequest& request) {
  request.parameters = *TRY(read_object(value, field));
  return {};
}

constexpr Field<JobRequest> kFields[] = {
    {"kind", FieldUse::kRequired, read_kind, {"what is to be done: a name of /api/v1/jobs/kinds", text()}},
    {"parameters", FieldUse::kHonoured, read_parameters, {"of the kind, as it lists them", object_of()}},
};

}  // namespace

json::object encode_job(const JobRecord& record, const JobStanding& standing) {
  json::object object{
      {"id", record.id},
      {"kind", record.kind},
      {"user", record.user_id ? json::value(json::string(*record.user_id)) : json::value(nullptr)},
      {"parameters", stored(record.parameters_json)},
      {"state", std::string(to_string(record.state))},
      {"cancelling", standing.cancelling},
      {"jobs_before", standing.jobs_before},
      {"step", record.step},
      {"progress", record.progress},
      {"error", nullptr},
      {"result", record.result_json.empty() ? json::value(nullptr) : stored(record.result_json)},
      {"log_lines", record.num_log_lines},
      {"created_at", record.created_at},
      {"started_at", time_or_null(record.started_at)},
      {"ended_at", time_or_null(record.ended_at)}};
  if (!record.error_code.empty())
    object["error"] = json::object{{"code", record.error_code}, {"message", record.error_message}};
  return object;
}

json::object encode_job_log_line(const JobLogLine& line) {
  return {{"number", line.number}, {"at", line.at}, {"text", line.text}};
}

std::vector<FieldInfo> job_infos() { return infos_of<JobRequest>(kFields); }

Result<JobRequest> decode_job_request(std::string_view body) {
  JobRequest request;
  TRY(read_fields<JobRequest>(TRY(parse_request_object(body)), kFields, request));
  if (request.kind.empty()) return missing_field("kind");
  return request;
}

}  // namespace mlxd::api::manage
