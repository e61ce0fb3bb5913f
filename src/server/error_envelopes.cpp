#include "server/error_envelopes.h"

#include <string_view>

#include "api/anthropic/error_body.h"
#include "api/manage/problem.h"
#include "api/ollama/error_body.h"
#include "api/openai/error_body.h"

namespace mlxd {
namespace {

bool lies_below(std::string_view path, std::string_view base) {
  return path.starts_with(base) && (path.size() == base.size() || path[base.size()] == '/');
}

}  // namespace

ErrorEnvelope envelope_of(const http::Request& request) {
  const std::string_view path = request.path;
  if (lies_below(path, "/api/v1")) return ErrorEnvelope::kProblem;
  if (lies_below(path, "/api")) return ErrorEnvelope::kOllama;
  if (lies_below(path, "/v1/messages") || lies_below(path, "/v1/batch/messages") ||
      request.headers.find("anthropic-version") != nullptr)
    return ErrorEnvelope::kAnthropic;
  return ErrorEnvelope::kOpenAi;
}

void add_request_id(const http::Request& request, http::Response& response) {
  if (envelope_of(request) == ErrorEnvelope::kAnthropic) response.headers.add("request-id", request.id);
}

http::Response render_error(const http::Request& request, int status, const Error& error) {
  http::Response response;
  response.status = status;
  if (status == 401) response.headers.add("WWW-Authenticate", "Bearer realm=\"mlxd\"");
  add_request_id(request, response);
  switch (envelope_of(request)) {
    case ErrorEnvelope::kOpenAi:
      response.body = api::openai::encode_error(status, error);
      break;
    case ErrorEnvelope::kAnthropic:
      response.status = api::anthropic::status_for(status, error);
      response.body = api::anthropic::encode_error(status, error, request.id);
      break;
    case ErrorEnvelope::kOllama:
      response.body = api::ollama::encode_error(error);
      break;
    case ErrorEnvelope::kProblem:
      response.content_type = api::manage::kProblemType;
      response.body =
          api::manage::encode_problem(status, http::reason_phrase(status), error, request.path, request.id);
      break;
  }
  return response;
}

}  // namespace mlxd
