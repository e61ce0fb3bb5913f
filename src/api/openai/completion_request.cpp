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
  draft.call.sampling.top_logprobs = TRY(read_int32(value, field));
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
  draft.call.max_tokens = TRY(read_int32(value, field));
  draft.call.echo_alone = draft.call.max_tokens == 0;
  return {};
}

Result<void> read_best_of(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.best_of = TRY(read_int32(value, field));
  return {};
}

constexpr auto kRequired = FieldUse::kRequired;
constexpr auto kHonoured = FieldUse::kHonoured;
constexpr auto kInforms = FieldUse::kInforms;
constexpr auto kRefused = FieldUse::kRefused;

constexpr Field<RequestDraft> kFields[] = {
    {"model", kRequired, read_model, meaning::kModel},
    {"adapter", kHonoured, read_adapter, meaning::kAdapter},
    {"prompt",
     kRequired,
     read_prompt,
     {"What to go on from, as it stands: a text or token ids, or several of them.",
      typed("string|string[]|integer[]|integer[][]")}},
    {"max_tokens",
     kHonoured,
     read_completion_tokens,
     {"The most tokens of the answer; 0 with echo: true gives the prompt alone.",
      count_from(0).by_default("16")}},
    {"temperature", kHonoured, read_temperature, meaning::kTemperature},
    {"top_p", kHonoured, read_top_p, meaning::kTopP},
    {"top_k", kHonoured, read_top_k, meaning::kTopK},
    {"min_p", kHonoured, read_min_p, meaning::kMinP},
    {"seed", kHonoured, read_seed, meaning::kSeed},
    {"n", kHonoured, read_n, kChoicesMeaning},
    {"stop", kHonoured, read_stop, meaning::kStop},
    {"presence_penalty", kHonoured, read_presence_penalty, meaning::kPresencePenalty},
    {"frequency_penalty", kHonoured, read_frequency_penalty, meaning::kFrequencyPenalty},
    {"repetition_penalty", kHonoured, read_repetition_penalty, meaning::kRepetitionPenalty},
    {"logit_bias", kHonoured, read_logit_bias, meaning::kLogitBias},
    {"logprobs",
     kHonoured,
     read_logprobs,
     {"Each token comes with its log-probability, and so many of the likeliest beside it; with echo: "
      "true the prompt's tokens, too.",
      integer(0, 20)}},
    {"echo",
     kHonoured,
     read_echo,
     {"The answer begins with the prompt; with logprobs its tokens are scored, and all of it is computed.",
      boolean().by_default("false")}},
    {"suffix",
     kHonoured,
     read_suffix,
     {"What comes after the answer, for models that can fill in the middle.", text()}},
    {"stream", kHonoured, read_stream, meaning::kStream},
    {"stream_options", kHonoured, read_stream_options, kStreamOptionsMeaning},
    {"cache_salt", kHonoured, read_cache_salt, meaning::kCacheSalt},
    {"keep_alive", kHonoured, read_keep_alive, meaning::kKeepAlive},
    {"user", kInforms, nullptr, meaning::kInformsOnly},
    {"metadata", kInforms, nullptr, meaning::kInformsOnly},
    {"store", kInforms, nullptr, meaning::kInformsOnly},
    {"service_tier", kInforms, nullptr, meaning::kInformsOnly},
    {"safety_identifier", kInforms, nullptr, meaning::kInformsOnly},
    {"prompt_cache_key", kInforms, nullptr, meaning::kInformsOnly},
    {"best_of", kRefused, read_best_of, {"use n", count_from(1)}},
};

}  // namespace

std::span<const Field<RequestDraft>> completion_fields() { return kFields; }

Result<GenerationCall> decode_completion_request(std::string_view body, UnknownFields unknown) {
  const json::object object = TRY(parse_request_object(body));
  RequestDraft draft;
  draft.unknown_fields = unknown;
  draft.call.max_tokens = kDefaultCompletionTokens;
  TRY(read_fields(object, completion_fields(), draft));
  TRY(check_common(draft));
  if (draft.best_of > 0 && draft.best_of != draft.call.num_choices) return refused_field("best_of", "use n");
  if (draft.call.echo_alone && !draft.call.echo)
    return invalid_argument("max_tokens is 0, must be at least 1 without echo: true", "max_tokens");
  if (draft.call.suffix && draft.call.scores_prompt())
    return invalid_argument(
        "suffix is not taken together with echo and logprobs: the model reads it within the prompt, whose "
        "tokens are to be listed; leave one of them out",
        "suffix");
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
