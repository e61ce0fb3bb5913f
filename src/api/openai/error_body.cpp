#include "api/openai/error_body.h"

#include <string_view>

#include "api/json_text.h"

namespace mlxd::api::openai {
namespace {

std::string_view type_of(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "service_unavailable_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

std::string_view code_of(int status, const Error& error) {
  if (status == 413) return "request_too_large";
  if (error.kind == ErrorKind::kTooLarge && status == 400) return "context_length_exceeded";
  if (error.kind == ErrorKind::kNotFound) return error.field == "model" ? "model_not_found" : "not_found";
  if (error.kind == ErrorKind::kUnsupported && !error.field.empty()) return "unsupported_parameter";
  if (status == 405) return "method_not_allowed";
  if (status == 401) return "invalid_api_key";
  if (status == 429) return "rate_limit_exceeded";
  if (status == 503) return "overloaded";
  return {};
}

void append_or_null(std::string& out, std::string_view text) {
  if (text.empty())
    out += "null";
  else
    append_json_string(out, text);
}

}  // namespace

std::string encode_error(int status, const Error& error) {
  std::string body = R"({"error":{"message":)";
  append_json_string(body, error.message);
  body += R"(,"type":)";
  append_json_string(body, type_of(status));
  body += R"(,"param":)";
  append_or_null(body, error.field);
  body += R"(,"code":)";
  append_or_null(body, code_of(status, error));
  body += "}}";
  return body;
}

}  // namespace mlxd::api::openai
