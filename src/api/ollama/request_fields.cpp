#include "api/ollama/request_fields.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <iterator>
#include <limits>
#include <vector>

#include "api/json_text.h"
#include "api/openai/chat_request.h"

namespace mlxd::api::ollama {

namespace json = boost::json;

namespace {

using openai::read_frequency_penalty;
using openai::read_logit_bias;
using openai::read_min_p;
using openai::read_presence_penalty;
using openai::read_stop;
using openai::read_temperature;
using openai::read_top_k;
using openai::read_top_p;

// -1 and -2 are "until it ends" and "until the context is full", which here are one: an answer ends with the
// context.
Result<void> read_num_predict(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call().max_tokens = std::max(TRY(read_int32(value, field)), 0);
  return {};
}

// -1: any.
Result<void> read_seed(const json::value& value, std::string_view field, RequestDraft& draft) {
  if (value.is_int64() && value.get_int64() == -1) return {};
  return openai::read_seed(value, field, draft.common);
}

// How much of the text counts as repeated. Here it is all of it or, as 0 says, nothing.
Result<void> read_repeat_last_n(const json::value& value, std::string_view field, RequestDraft& draft) {
  const std::int32_t tokens = TRY(read_int32(value, field));
  draft.no_penalties = tokens == 0;
  draft.penalty_window = tokens > 0;
  return {};
}

// Clients that keep an empty field send it: it stops nothing.
Result<void> read_stop_strings(const json::value& value, std::string_view field, RequestDraft& draft) {
  json::value stops = value;
  if (json::array* list = stops.if_array()) {
    const auto is_empty = [](const json::value& each) {
      return each.is_string() && each.get_string().empty();
    };
    list->erase(std::remove_if(list->begin(), list->end(), is_empty), list->end());
    if (list->empty()) return {};
  } else if (stops.is_string() && stops.get_string().empty()) {
    return {};
  }
  return read_as_openai<read_stop>(stops, field, draft);
}

Result<void> ignore(std::string_view field, RequestDraft& draft) {
  if (draft.strict) return refused_field(field, "leave it out");
  draft.call().ignored.emplace_back(field);
  return {};
}

/// Of a way of sampling that there is not here; only `off` asks for nothing.
template <int off>
Result<void> ignore_unless(const json::value& value, std::string_view field, RequestDraft& draft) {
  if (value.is_number() && value.to_number<double>() == off) return {};
  return ignore(field, draft);
}
Result<void> ignore_always(const json::value&, std::string_view field, RequestDraft& draft) {
  return ignore(field, draft);
}

constexpr auto kHonoured = FieldUse::kHonoured;
constexpr auto kInforms = FieldUse::kInforms;
constexpr auto kRefused = FieldUse::kRefused;

constexpr Meaning kServersOwn{"Decided by the server, for all its clients; accepted and let be."};
constexpr Meaning kNotSampled{
    "there is no such sampling here: told in x-mlxd-ignored, or refused where unknown "
    "parameters are"};

constexpr Field<RequestDraft> kOptions[] = {
    {"num_predict",
     kHonoured,
     read_num_predict,
     {"The most tokens of the answer; -1 and -2: until it ends or the context is full.",
      count_from(-2).by_default("-1")}},
    {"temperature", kHonoured, read_as_openai<read_temperature>, meaning::kTemperature},
    {"top_k", kHonoured, read_as_openai<read_top_k>, meaning::kTopK},
    {"top_p", kHonoured, read_as_openai<read_top_p>, meaning::kTopP},
    {"min_p", kHonoured, read_as_openai<read_min_p>, meaning::kMinP},
    {"seed",
     kHonoured,
     read_seed,
     {"The same seed and request give the same text; -1: another each time.", typed("integer")}},
    {"stop", kHonoured, read_stop_strings, meaning::kStop},
    {"repeat_penalty", kHonoured, read_as_openai<openai::read_repetition_penalty>,
     meaning::kRepetitionPenalty},
    {"repeat_last_n",
     kHonoured,
     read_repeat_last_n,
     {"0: no penalties. Another window than the whole text is told in x-mlxd-ignored.",
      count_from(-1).by_default("-1")}},
    {"presence_penalty", kHonoured, read_as_openai<read_presence_penalty>, meaning::kPresencePenalty},
    {"frequency_penalty", kHonoured, read_as_openai<read_frequency_penalty>, meaning::kFrequencyPenalty},
    {"logit_bias", kHonoured, read_as_openai<read_logit_bias>, meaning::kLogitBias},
    {"num_ctx", kInforms, nullptr, kServersOwn},
    {"num_keep", kInforms, nullptr, kServersOwn},
    {"num_batch", kInforms, nullptr, kServersOwn},
    {"num_gpu", kInforms, nullptr, kServersOwn},
    {"main_gpu", kInforms, nullptr, kServersOwn},
    {"num_thread", kInforms, nullptr, kServersOwn},
    {"use_mmap", kInforms, nullptr, kServersOwn},
    {"use_mlock", kInforms, nullptr, kServersOwn},
    {"low_vram", kInforms, nullptr, kServersOwn},
    {"f16_kv", kInforms, nullptr, kServersOwn},
    {"numa", kInforms, nullptr, kServersOwn},
    {"draft_num_predict", kInforms, nullptr, kServersOwn},
    {"typical_p", kRefused, ignore_unless<1>, kNotSampled},
    {"tfs_z", kRefused, ignore_unless<1>, kNotSampled},
    {"mirostat", kRefused, ignore_unless<0>, kNotSampled},
    {"mirostat_tau", kRefused, ignore_always, kNotSampled},
    {"mirostat_eta", kRefused, ignore_always, kNotSampled},
    {"penalize_newline", kRefused, ignore_always, kNotSampled},
};

Result<void> read_option(const json::value& value, const std::string& name, RequestDraft& draft) {
  const std::string field = "options." + name.substr(0, 60);
  const auto* const option = std::find_if(std::begin(kOptions), std::end(kOptions),
                                          [&](const Field<RequestDraft>& each) { return each.name == name; });
  // Ollama itself only warns of those that it does not know.
  if (option == std::end(kOptions))
    return draft.ignore_unknown(field) ? Result<void>() : ignore(field, draft);
  TRY(check_shape(value, field, option->meaning.shape));
  return option->read == nullptr ? Result<void>() : option->read(value, field, draft);
}

}  // namespace

Conversation& RequestDraft::conversation() {
  if (!call().conversation) call().conversation.emplace();
  return *call().conversation;
}

std::vector<FieldInfo> option_infos() { return infos_of<RequestDraft>(kOptions); }

Result<void> read_options(const json::value& value, std::string_view field, RequestDraft& draft) {
  for (const auto& [key, entry] : *TRY(read_object(value, field))) {
    if (!entry.is_null()) TRY(read_option(entry, std::string(key), draft));
  }
  SamplingParams& sampling = draft.call().sampling;
  if (draft.no_penalties) {
    sampling.repetition_penalty = 1.0F;
    sampling.presence_penalty = 0.0F;
    sampling.frequency_penalty = 0.0F;
  }
  const bool has_penalty = sampling.repetition_penalty != 1.0F || sampling.presence_penalty != 0.0F ||
                           sampling.frequency_penalty != 0.0F;
  if (draft.penalty_window && has_penalty) return ignore("options.repeat_last_n", draft);
  return {};
}

Result<void> read_format(const json::value& value, std::string_view field, RequestDraft& draft) {
  const std::string path(field);
  draft.call().grammar_field = path;
  if (value.is_string()) {
    const json::string& name = value.get_string();
    if (name.empty()) return {};
    if (name != "json")
      return invalid_argument(path + " is " + shown(value) + ", must be \"json\" or a JSON schema", path);
    draft.call().answer_grammar = Grammar{GrammarKind::kJsonSchema, R"({"type": "object"})"};
  } else if (value.is_object()) {
    TRY(openai::check_schema(value.get_object(), path));
    draft.call().answer_grammar.emplace();
    append_json_value(draft.call().answer_grammar->source, value);
  } else {
    return wrong_type(value, field, "\"json\" or a JSON schema");
  }
  return {};
}

Result<void> read_think(const json::value& value, std::string_view field, RequestDraft& draft) {
  if (value.is_bool()) {
    draft.thinks = value.get_bool();
    draft.conversation().reasoning_effort = draft.thinks ? "on" : "none";
    return {};
  }
  static constexpr std::string_view kLevels[] = {"low", "medium", "high", "max"};
  if (!value.is_string()) return wrong_type(value, field, "true, false, low, medium, high or max");
  const std::string level(value.get_string());
  if (std::find(std::begin(kLevels), std::end(kLevels), level) == std::end(kLevels))
    return invalid_argument(
        std::string(field) + " is " + shown(value) + ", must be true, false, low, medium, high or max",
        std::string(field));
  draft.thinks = true;
  draft.conversation().reasoning_effort = level == "max" ? "xhigh" : level;
  return {};
}

Result<void> read_logprobs(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call().sampling.logprobs = TRY(read_boolean(value, field));
  return {};
}

Result<void> read_top_logprobs(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call().sampling.top_logprobs = TRY(read_int32(value, field));
  draft.has_top_logprobs = draft.call().sampling.top_logprobs > 0;
  return {};
}

Result<void> allow_nothing(const json::value& value, std::string_view field, RequestDraft&) {
  const bool asks_for_nothing =
      (value.is_bool() && !value.get_bool()) || (value.is_string() && value.get_string().empty()) ||
      (value.is_array() && value.get_array().empty()) || (value.is_object() && value.get_object().empty());
  if (asks_for_nothing) return {};
  if (field == "template") return refused_field(field, kOwnTemplate);
  if (field == "context") return refused_field(field, kNoContext);
  if (field == "images") return refused_field(field, kTextOnly);
  return refused_field(field, "leave it out");
}

RequestDraft new_draft(bool strict, UnknownFields unknown) {
  RequestDraft draft;
  draft.strict = strict;
  draft.common.unknown_fields = unknown;
  draft.call().stream = true;
  return draft;
}

Result<void> check_common(const RequestDraft& draft) {
  const GenerationCall& call = draft.common.call;
  if (call.model.empty()) return missing_field("model");
  if (draft.has_top_logprobs && !call.sampling.logprobs)
    return invalid_argument("top_logprobs is only taken together with logprobs: true", "top_logprobs");
  return {};
}

}  // namespace mlxd::api::ollama
