#include "server/api_document.h"

#include <boost/json/serialize.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "api/document/open_api.h"
#include "base/fnv_hash.h"
#include "server/access_table.h"
#include "server/error_envelopes.h"
#include "server/web_files.h"

namespace mlxd {
namespace {

api::ErrorForm error_form(std::string_view pattern) {
  http::Request request;
  request.path = pattern;
  switch (envelope_of(request)) {
    case ErrorEnvelope::kOpenAi:
      return api::ErrorForm::kOpenAi;
    case ErrorEnvelope::kAnthropic:
      return api::ErrorForm::kAnthropic;
    case ErrorEnvelope::kOllama:
      return api::ErrorForm::kOllama;
    case ErrorEnvelope::kProblem:
      return api::ErrorForm::kProblem;
  }
  return api::ErrorForm::kProblem;
}

}  // namespace

Result<std::string> api_document() {
  std::vector<api::Operation> operations;
  for (const AccessRule& rule : access_table())
    operations.push_back({.method = rule.method,
                          .pattern = rule.pattern,
                          .about = rule.about,
                          .need = to_string(rule.need),
                          .errors = error_form(rule.pattern),
                          .form = rule.form});
  return boost::json::serialize(TRY(api::open_api_document(operations, MLXD_VERSION)));
}

void add_document_route(http::Router& router, std::string document) {
  struct File {
    explicit File(std::string text) : body(std::move(text)), hash(std::to_string(fnv_hash(body))) {}
    std::string body;
    std::string hash;
  };
  router.add("GET", "/openapi.json",
             [file = std::make_shared<const File>(std::move(document))](const http::ExchangePtr& exchange) {
               const WebFile as_file{.path = "/openapi.json",
                                     .content_type = "application/json",
                                     .hash = file->hash,
                                     .plain = file->body};
               exchange->respond(WebFiles::answer(as_file, exchange->request));
             });
}

}  // namespace mlxd
