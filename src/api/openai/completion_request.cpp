#include "api/openai/completion_request.h"

#include <boost/json/array.hpp>
#include <limits>
#include <string>
#include <utility>
#include <variant>

namespace mlxd::api::openai {

namespace json = boost::json;

namespace {

Result<std::vector<TokenId>> read_tokens(const json::array& list, const std::string& field) {
  std::vector<TokenId> tokens;
  tokens.reserve(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    auto token = read_integer(list[i], field, 0, std::numeric_limits<TokenId>::max());
    if (!token.ok())
      return invalid_argument(
          field + "[" + std::to_string(i) + "] is " + shown(list[i]) + ", must be a token id", field);
    tokens.push_back(static_cast<TokenId>(*token));
  }
  return tokens;
}

Result<void> read_prompt(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.has_prompt = true;
  std::vector<RawPrompt>& prompts = draft.call.prompts;
  if (value.is_string()) {
    prompts.emplace_back(TRY(read_string(value, field)));
    return {};
  }
  if (!value.is_array())
    return wrong_type(value, field, "a string, a list of strings, token ids or lists of them");
  const json::array& list = value.get_array();
  if (list.empty()) return invalid_argument("prompt is empty, must have at least one token", "prompt");
  if (list[0].is_number()) {
    prompts.emplace_back(TRY(read_tokens(list, "prompt")));
    return {};
  }
  if (list.size() > kMaxPrompts)
    return invalid_argument("prompt has " + std::to_string(list.size()) + " prompts, at most " +
                                std::to_string(kMaxPrompts) + " are taken at once",
                            "prompt");
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string path = "prompt[" + std::to_string(i) + "]";
    if (list[i].is_string())
      prompts.emplace_back(TRY(read_string(list[i], path)));
    else if (list[i].is_array())
      prompts.emplace_back(TRY(read_tokens(list[i].get_array(), path)));
    else
      return wrong_type(list[i], path, "a string or a list of token ids");
  }
  return {};
}

Result<void> read_logprobs(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.sampling.top_logprobs = static_cast<std::int32_t>(TRY(read_integer(value, field, 0, 20)));
  draft.call.sampling.logprobs = true;
  return {};
}

Result<void> read_echo(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.echo = TRY(read_boolean(value, field));
  return {};
}

Result<void> read_suffix(const json::value& value, std::string_view field, RequestDraft& draft) {
  std::string suffix = TRY(read_string(value, field));
  if (!suffix.empty()) draft.call.suffix = std::move(suffix);
  return {};
}

// Nothing at all may be asked for, beside the prompt itself.
Result<void> read_completion_tokens(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.max_tokens =
      static_cast<std::int32_t>(TRY(read_integer(value, field, 0, std::numeric_limits<std::int32_t>::max())));
  draft.call.echo_alone = draft.call.max_tokens == 0;
  return {};
}

Result<void> read_best_of(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.best_of =
      static_cast<std::int32_t>(TRY(read_integer(value, field, 1, std::numeric_limits<std::int32_t>::max())));
  return {};
}

constexpr auto kHonoured = FieldUse::kHonoured;
constexpr auto kInforms = FieldUse::kInforms;
constexpr auto kRefused = FieldUse::kRefused;

constexpr Field<RequestDraft> kFields[] = {
    {"model", kHonoured, read_model},
    {"adapter", kHonoured, read_adapter},
    {"prompt", kHonoured, read_prompt},
    {"max_tokens", kHonoured, read_completion_tokens},
    {"temperature", kHonoured, read_temperature},
    {"top_p", kHonoured, read_top_p},
    {"top_k", kHonoured, read_top_k},
    {"min_p", kHonoured, read_min_p},
    {"seed", kHonoured, read_seed},
    {"n", kHonoured, read_n},
    {"stop", kHonoured, read_stop},
    {"presence_penalty", kHonoured, read_presence_penalty},
    {"frequency_penalty", kHonoured, read_frequency_penalty},
    {"repetition_penalty", kHonoured, read_repetition_penalty},
    {"logit_bias", kHonoured, read_logit_bias},
    {"logprobs", kHonoured, read_logprobs},
    {"echo", kHonoured, read_echo},
    {"stream", kHonoured, read_stream},
    {"stream_options", kHonoured, read_stream_options},
    {"cache_salt", kHonoured, read_cache_salt},
    {"keep_alive", kHonoured, read_keep_alive},
    {"user", kInforms},
    {"metadata", kInforms},
    {"store", kInforms},
    {"service_tier", kInforms},
    {"safety_identifier", kInforms},
    {"prompt_cache_key", kInforms},
    {"suffix", kHonoured, read_suffix},
    {"best_of", kRefused, read_best_of},
};

}  // namespace

std::span<const Field<RequestDraft>> completion_fields() { return kFields; }

Result<GenerationCall> decode_completion_request(std::string_view body) {
  const json::object object = TRY(parse_request_object(body));
  RequestDraft draft;
  draft.call.max_tokens = kDefaultCompletionTokens;
  TRY(read_fields(object, completion_fields(), draft));
  TRY(check_common(draft));
  if (!draft.has_prompt) return missing_field("prompt");
  if (draft.call.echo && draft.call.sampling.logprobs)
    return refused_field("echo",
                         "log-probabilities of the prompt cannot be given; leave out echo or logprobs");
  if (draft.best_of > 0 && draft.best_of != draft.call.num_choices) return refused_field("best_of", "use n");
  if (draft.call.echo_alone && !draft.call.echo)
    return invalid_argument("max_tokens is 0, must be at least 1 without echo: true", "max_tokens");
  if (draft.call.suffix) {
    for (const RawPrompt& prompt : draft.call.prompts) {
      if (!std::holds_alternative<std::string>(prompt))
        return invalid_argument("suffix is only taken together with prompts that are texts", "suffix");
    }
  }
  if (draft.call.prompts.size() * static_cast<std::size_t>(draft.call.num_choices) > kMaxPrompts)
    return invalid_argument(
        "prompt and n ask for " +
            std::to_string(draft.call.prompts.size() * static_cast<std::size_t>(draft.call.num_choices)) +
            " choices, at most " + std::to_string(kMaxPrompts) + " are made at once",
        "n");
  draft.call.prompt_field = "prompt";
  return std::move(draft.call);
}

}  // namespace mlxd::api::openai
