#include "api/manage/problem.h"

#include "api/json_text.h"

namespace mlxd::api::manage {

std::string encode_problem(int status, std::string_view title, const Error& error) {
  std::string body = R"({"type":"about:blank","title":)";
  append_json_string(body, title);
  body += R"(,"status":)" + std::to_string(status) + R"(,"detail":)";
  append_json_string(body, error.message);
  body += R"(,"code":)";
  append_json_string(body, to_string(error.kind));
  if (!error.field.empty()) {
    body += R"(,"field":)";
    append_json_string(body, error.field);
  }
  return body + "}";
}

}  // namespace mlxd::api::manage
