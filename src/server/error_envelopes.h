// The form in which an error goes back: which API's clients ask is seen from path and headers, as routes that
// do not exist have an answer too. Pure.
#pragma once

#include "base/error.h"
#include "http/message.h"

namespace mlxd {

enum class ErrorEnvelope {
  kOpenAi,     // {"error": {message, type, param, code}}
  kAnthropic,  // {"type": "error", "error": {type, message}, "request_id"}: /v1/messages…, or a request with
               // the header anthropic-version
  kOllama,   // {"error": "…"}: /api/…
  kProblem,  // application/problem+json: /api/v1/…
};

ErrorEnvelope envelope_of(const http::Request& request);

/// The request's id under the name that the API's clients look for, where that is not X-Request-ID.
void add_request_id(const http::Request& request, http::Response& response);

/// The whole answer but for Retry-After and Allow.
http::Response render_error(const http::Request& request, int status, const Error& error);

}  // namespace mlxd
