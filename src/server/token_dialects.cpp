#include <string>
#include <utility>
#include <variant>

#include "api/openai/answer_parts.h"
#include "api/openai/profile_defaults.h"
#include "api/tokens/token_requests.h"
#include "server/generation_dialect.h"
#include "server/prompt_tokens.h"

namespace mlxd {
namespace {

namespace tokens = api::tokens;

Result<http::Response> tokenize(const api::GenerationCall& call, const ServedModel& model) {
  const TokenizedPrompts tokenized = TRY(tokenize_prompts(call, model, PromptSize::kAny));
  const std::vector<TokenId>& prompt = tokenized.prompts.front();
  std::vector<std::string> pieces;
  if (call.token_view.pieces) {
    for (const TokenId token : prompt) {
      const std::string bytes = model.tokenizer->token_bytes(token);
      pieces.push_back(bytes.empty() ? model.tokenizer->token_name(token) : api::openai::token_name(bytes));
    }
  }
  http::Response response;
  response.body =
      tokens::encode_tokens(prompt, model.limits.context_tokens, call.token_view.pieces ? &pieces : nullptr);
  return response;
}

Result<http::Response> detokenize(const api::GenerationCall& call, const ServedModel& model) {
  const auto& prompt = std::get<std::vector<TokenId>>(call.prompts.front());
  for (std::size_t i = 0; i < prompt.size(); ++i) {
    if (prompt[i] < model.tokenizer->vocab_size()) continue;
    return invalid_argument("tokens[" + std::to_string(i) + "] is " + std::to_string(prompt[i]) +
                                ", the vocabulary has ids 0 to " +
                                std::to_string(model.tokenizer->vocab_size() - 1),
                            "tokens");
  }
  http::Response response;
  response.body = tokens::encode_text(TRY(model.tokenizer->decode(prompt, !call.token_view.special_tokens)));
  return response;
}

}  // namespace

std::vector<GenerationDialect> token_dialects(bool strict) {
  GenerationDialect to_tokens{.path = "/v1/tokenize",
                              .decode =
                                  [strict](std::string_view body, api::UnknownFields unknown) {
                                    return tokens::decode_tokenize_request(body, strict, unknown);
                                  },
                              .answer = tokenize};
  GenerationDialect to_text{
      .path = "/v1/detokenize", .decode = tokens::decode_detokenize_request, .answer = detokenize};
  return {std::move(to_tokens), std::move(to_text)};
}

}  // namespace mlxd
