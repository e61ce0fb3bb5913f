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
  const std::int64_t tokens = TRY(read_integer(value, field, -2, std::numeric_limits<std::int32_t>::max()));
  draft.call().max_tokens = static_cast<std::int32_t>(std::max<std::int64_t>(tokens, 0));
  return {};
}

// -1: any.
Result<void> read_seed(const json::value& value, std::string_view field, RequestDraft& draft) {
  if (value.is_int64() && value.get_int64() == -1) return {};
  return openai::read_seed(value, field, draft.common);
}

Result<void> read_repeat_penalty(const json::value& value, std::string_view field, RequestDraft& draft) {
  const float penalty = TRY(read_number(value, field, 0.0, 2.0));
  if (!(penalty > 0.0F))
    return invalid_argument(std::string(field) + " is " + shown(value) + ", must be above 0 and at most 2",
                            std::string(field));
  draft.call().sampling.repetition_penalty = penalty;
  return {};
}

// How much of the text counts as repeated. Here it is all of it or, as 0 says, nothing.
Result<void> read_repeat_last_n(const json::value& value, std::string_view field, RequestDraft& draft) {
  const std::int64_t tokens = TRY(read_integer(value, field, -1, std::numeric_limits<std::int32_t>::max()));
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

/// An option, and the value of it that asks for nothing; the latter only of those that are ignored.
struct Option {
  std::string_view name;
  FieldUse use = FieldUse::kHonoured;
  ReadField* read = nullptr;
  double neutral = -1.0;
};

constexpr auto kHonoured = FieldUse::kHonoured;
constexpr auto kInforms = FieldUse::kInforms;
constexpr auto kRefused = FieldUse::kRefused;

constexpr Option kOptions[] = {
    {"num_predict", kHonoured, read_num_predict},
    {"temperature", kHonoured, read_as_openai<read_temperature>},
    {"top_k", kHonoured, read_as_openai<read_top_k>},
    {"top_p", kHonoured, read_as_openai<read_top_p>},
    {"min_p", kHonoured, read_as_openai<read_min_p>},
    {"seed", kHonoured, read_seed},
    {"stop", kHonoured, read_stop_strings},
    {"repeat_penalty", kHonoured, read_repeat_penalty},
    {"repeat_last_n", kHonoured, read_repeat_last_n},
    {"presence_penalty", kHonoured, read_as_openai<read_presence_penalty>},
    {"frequency_penalty", kHonoured, read_as_openai<read_frequency_penalty>},
    {"logit_bias", kHonoured, read_as_openai<read_logit_bias>},
    // How a model is run, which this server decides for all its clients.
    {"num_ctx", kInforms},
    {"num_keep", kInforms},
    {"num_batch", kInforms},
    {"num_gpu", kInforms},
    {"main_gpu", kInforms},
    {"num_thread", kInforms},
    {"use_mmap", kInforms},
    {"use_mlock", kInforms},
    {"low_vram", kInforms},
    {"f16_kv", kInforms},
    {"numa", kInforms},
    {"draft_num_predict", kInforms},
    // Ways of sampling that there are not here.
    {"typical_p", kRefused, nullptr, 1.0},
    {"tfs_z", kRefused, nullptr, 1.0},
    {"mirostat", kRefused, nullptr, 0.0},
    {"mirostat_tau", kRefused},
    {"mirostat_eta", kRefused},
    {"penalize_newline", kRefused},
};

Result<void> ignore(const std::string& field, RequestDraft& draft) {
  if (draft.strict) return refused_field(field, "leave it out");
  draft.call().ignored.push_back(field);
  return {};
}

bool is_number(const json::value& value, double number) {
  return value.is_number() && value.to_number<double>() == number;
}

Result<void> read_option(const json::value& value, const std::string& name, RequestDraft& draft) {
  const std::string field = "options." + name.substr(0, 60);
  const auto* const option = std::find_if(std::begin(kOptions), std::end(kOptions),
                                          [&](const Option& each) { return each.name == name; });
  if (option == std::end(kOptions)) return ignore(field, draft);
  if (option->use == kInforms) return {};
  if (option->use == kRefused)
    return is_number(value, option->neutral) ? Result<void>() : ignore(field, draft);
  return option->read(value, field, draft);
}

}  // namespace

Conversation& RequestDraft::conversation() {
  if (!call().conversation) call().conversation.emplace();
  return *call().conversation;
}

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
  draft.call().sampling.top_logprobs = static_cast<std::int32_t>(TRY(read_integer(value, field, 0, 20)));
  draft.has_top_logprobs = draft.call().sampling.top_logprobs > 0;
  return {};
}

Result<void> allow_nothing(const json::value& value, std::string_view field, RequestDraft&) {
  const bool asks_for_nothing =
      (value.is_bool() && !value.get_bool()) || (value.is_string() && value.get_string().empty()) ||
      (value.is_array() && value.get_array().empty()) || (value.is_object() && value.get_object().empty());
  if (asks_for_nothing) return {};
  if (field == "template")
    return refused_field(
        field, "the model's own template is used; leave it out, or send raw: true and all of the prompt");
  if (field == "context") return refused_field(field, "send the turns so far as messages to /api/chat");
  return refused_field(field, "leave it out");
}

Result<void> allow_no_images(const json::value& value, std::string_view field, RequestDraft&) {
  if (value.is_array() && value.get_array().empty()) return {};
  return refused_field(field, "this model takes text only");
}

RequestDraft new_draft(bool strict) {
  RequestDraft draft;
  draft.strict = strict;
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
