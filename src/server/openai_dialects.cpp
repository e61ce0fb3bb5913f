#include <string>
#include <utility>

#include "api/openai/chat_answer.h"
#include "api/openai/chat_request.h"
#include "api/openai/completion_answer.h"
#include "api/openai/completion_request.h"
#include "api/openai/profile_defaults.h"
#include "server/generation_dialect.h"

namespace mlxd {

std::vector<GenerationDialect> openai_dialects(bool strict) {
  namespace openai = api::openai;
  std::vector<GenerationDialect> dialects;
  // Each route again at LOW priority below /v1/batch.
  const auto add = [&dialects](GenerationDialect dialect) {
    const std::string path = dialect.path;
    dialect.path = "/v1" + path;
    dialects.push_back(dialect);
    dialect.path = "/v1/batch" + path;
    dialect.priority = Priority::kLow;
    dialects.push_back(std::move(dialect));
  };
  add({.path = "/chat/completions",
       .decode =
           [strict](std::string_view body, api::UnknownFields unknown) {
             return openai::decode_chat_request(body, strict, unknown);
           },
       .encoder = [](const api::GenerationCall& call,
                     api::AnswerInfo info) -> std::unique_ptr<api::AnswerEncoder> {
         return std::make_unique<openai::ChatAnswerEncoder>(
             openai::ChatAnswerEncoder::Options{.info = std::move(info),
                                                .num_choices = total_choices(call),
                                                .logprobs = call.sampling.logprobs,
                                                .include_usage = call.include_usage});
       },
       .with_defaults =
           [](std::string_view body, const Profile& profile) {
             return openai::with_profile_defaults(body, profile.defaults, openai::ProfileUse::kChat);
           }});
  add({.path = "/completions",
       .decode = openai::decode_completion_request,
       .encoder = [](const api::GenerationCall& call,
                     api::AnswerInfo info) -> std::unique_ptr<api::AnswerEncoder> {
         return std::make_unique<openai::CompletionAnswerEncoder>(
             openai::CompletionAnswerEncoder::Options{.info = std::move(info),
                                                      .num_choices = total_choices(call),
                                                      .logprobs = call.sampling.logprobs,
                                                      .include_usage = call.include_usage});
       },
       .with_defaults =
           [](std::string_view body, const Profile& profile) {
             return openai::with_profile_defaults(body, profile.defaults, openai::ProfileUse::kCompletion);
           }});
  return dialects;
}

}  // namespace mlxd
