#include <memory>
#include <string>
#include <utility>

#include "api/anthropic/message_answer.h"
#include "api/anthropic/messages_request.h"
#include "api/json_text.h"
#include "server/generation_dialect.h"
#include "server/prompt_tokens.h"

namespace mlxd {
namespace {

namespace anthropic = api::anthropic;

Result<http::Response> count_tokens(const api::GenerationCall& call, const ServedModel& model) {
  const TokenizedPrompts tokenized = TRY(tokenize_prompts(call, model, PromptSize::kAny));
  http::Response response;
  response.body = R"({"input_tokens":)";
  api::append_json_number(response.body, std::ssize(tokenized.prompts.front()));
  response.body += '}';
  return response;
}

std::string with_defaults(std::string_view body, const Profile& profile) {
  return anthropic::with_profile_defaults(body, profile.defaults);
}

}  // namespace

std::vector<GenerationDialect> anthropic_dialects(bool strict) {
  GenerationDialect messages{
      .path = "/v1/messages",
      .decode =
          [strict](std::string_view body, api::UnknownFields unknown) {
            return anthropic::decode_messages_request(body, strict, anthropic::Purpose::kAnswer, unknown);
          },
      .encoder = [](const api::GenerationCall& call,
                    api::AnswerInfo info) -> std::unique_ptr<api::AnswerEncoder> {
        return std::make_unique<anthropic::MessageAnswerEncoder>(anthropic::MessageAnswerEncoder::Options{
            .info = std::move(info), .max_tokens = call.max_tokens, .hides_thinking = call.hides_reasoning});
      },
      .with_defaults = with_defaults};
  GenerationDialect batch = messages;
  batch.path = "/v1/batch/messages";
  batch.priority = Priority::kLow;
  GenerationDialect count{.path = "/v1/messages/count_tokens",
                          .decode =
                              [strict](std::string_view body, api::UnknownFields unknown) {
                                return anthropic::decode_messages_request(
                                    body, strict, anthropic::Purpose::kCount, unknown);
                              },
                          .with_defaults = with_defaults,
                          .answer = count_tokens};
  return {std::move(messages), std::move(batch), std::move(count)};
}

}  // namespace mlxd
