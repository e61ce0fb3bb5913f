#include "api/anthropic/error_body.h"

#include "api/json_text.h"

namespace mlxd::api::anthropic {
namespace {

constexpr int kOverloaded = 529;

std::string_view type_of(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 504:
      return "timeout_error";
    case kOverloaded:
      return "overloaded_error";
    default:
      return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

}  // namespace

int status_for(int status, const Error& error) {
  const bool too_much = error.kind == ErrorKind::kOverloaded || error.kind == ErrorKind::kOutOfMemory;
  return status == 503 && too_much ? kOverloaded : status;
}

std::string encode_error(int status, const Error& error, std::string_view request_id) {
  std::string body = R"({"type":"error","error":{"type":)";
  append_json_string(body, type_of(status_for(status, error)));
  body += R"(,"message":)";
  // Agents shorten the conversation by themselves where they read these words.
  const bool too_long = error.kind == ErrorKind::kTooLarge && status == 400;
  append_json_string(body, too_long ? "prompt is too long: " + error.message : error.message);
  body += '}';
  if (!request_id.empty()) {
    body += R"(,"request_id":)";
    append_json_string(body, request_id);
  }
  body += '}';
  return body;
}

}  // namespace mlxd::api::anthropic
