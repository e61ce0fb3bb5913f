#include "api/manage/problem.h"

#include "api/json_text.h"

namespace mlxd::api::manage {

std::string encode_problem(int status, std::string_view title, const Error& error, std::string_view path,
                           std::string_view request_id) {
  std::string body = R"({"type":"about:blank","title":)";
  append_json_string(body, title);
  body += R"(,"status":)";
  append_json_number(body, static_cast<std::int64_t>(status));
  body += R"(,"detail":)";
  append_json_string(body, error.message);
  body += R"(,"instance":)";
  append_json_string(body, path);
  body += R"(,"code":)";
  append_json_string(body, to_string(error.kind));
  if (!error.field.empty()) {
    body += R"(,"field":)";
    append_json_string(body, error.field);
  }
  body += R"(,"request_id":)";
  append_json_string(body, request_id);
  return body + "}";
}

}  // namespace mlxd::api::manage
