#include "api/ollama/error_body.h"

#include "api/json_text.h"

namespace mlxd::api::ollama {

std::string encode_error(const Error& error) {
  std::string body = R"({"error":)";
  append_json_string(body, error.message);
  body += '}';
  return body;
}

}  // namespace mlxd::api::ollama
