#include "generation/generation_request.h"

#include <algorithm>
#include <random>
#include <string>
#include <utility>

namespace mlxd {
namespace {

Result<void> check_tokens(const std::vector<TokenId>& tokens, const char* field,
                          const GenerationLimits& limits) {
  for (const TokenId token : tokens) {
    if (token < 0 || token >= limits.vocab_size)
      return invalid_argument(std::string(field) + " has token " + std::to_string(token) +
                                  ", the vocabulary has ids 0 to " + std::to_string(limits.vocab_size - 1),
                              field);
  }
  return {};
}

}  // namespace

Result<GenerationRequest> GenerationRequest::create(Fields fields, const GenerationLimits& limits) {
  if (fields.prompt.empty())
    return invalid_argument("prompt is empty, must have at least one token", "prompt");
  TRY(check_tokens(fields.prompt, "prompt", limits));
  TRY(check_tokens(fields.prediction, "prediction", limits));
  const auto room =
      static_cast<std::int64_t>(limits.context_tokens) - static_cast<std::int64_t>(fields.prompt.size());
  const bool generates = fields.prompt_scoring != PromptScoring::kAlone;
  if (room < (generates ? 1 : 0))
    return Error(ErrorKind::kTooLarge,
                 "the prompt has " + std::to_string(fields.prompt.size()) +
                     " tokens, the model's context holds " + std::to_string(limits.context_tokens) +
                     (generates ? " with the answer" : "") + ": shorten the prompt",
                 "prompt");
  if (fields.max_tokens < 0)
    return invalid_argument("max_tokens is " + std::to_string(fields.max_tokens) + ", must be positive",
                            "max_tokens");
  TRY(fields.sampling.validate(limits.vocab_size));
  for (const std::string& stop : fields.stop_strings) {
    if (stop.empty()) return invalid_argument("stop has an empty string, each must have a character", "stop");
  }
  const auto ceiling = generates ? static_cast<std::int32_t>(room) : 0;
  fields.max_tokens = fields.max_tokens == 0 ? ceiling : std::min(fields.max_tokens, ceiling);
  if (!fields.sampling.seed) {
    std::random_device device;
    fields.sampling.seed = (static_cast<std::uint64_t>(device()) << 32U) | device();
  }
  return GenerationRequest(std::move(fields));
}

}  // namespace mlxd
