// Jobs between JSON and the store's types. Pure functions.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "api/field_shape.h"
#include "base/result.h"
#include "store/job_store.h"

namespace mlxd::api::manage {

/// What a record does not say: whether it is about to stop, and how many jobs go before it.
struct JobStanding {
  bool cancelling = false;
  std::int64_t jobs_before = 0;
};
boost::json::object encode_job(const JobRecord& record, const JobStanding& standing);
boost::json::object encode_job_log_line(const JobLogLine& line);

struct JobRequest {
  std::string kind;
  boost::json::object parameters;
};
std::vector<FieldInfo> job_infos();
/// {"kind": …, "parameters"?: {…}}. Errors name the field.
Result<JobRequest> decode_job_request(std::string_view body);

}  // namespace mlxd::api::manage
