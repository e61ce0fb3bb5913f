#include "api/openai/chat_request.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <limits>
#include <string>

namespace mlxd::api::openai {

namespace json = boost::json;

namespace {

// `strict` is known only to the caller, so messages are read after the table has been walked.
Result<void> note_messages(const json::value&, std::string_view, RequestDraft& draft) {
  draft.has_messages = true;
  return {};
}

Result<void> read_max_completion_tokens(const json::value& value, std::string_view field,
                                        RequestDraft& draft) {
  draft.max_completion_tokens =
      static_cast<std::int32_t>(TRY(read_integer(value, field, 1, std::numeric_limits<std::int32_t>::max())));
  return {};
}

Result<void> read_logprobs(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.sampling.logprobs = TRY(read_boolean(value, field));
  return {};
}

Result<void> read_top_logprobs(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.sampling.top_logprobs = static_cast<std::int32_t>(TRY(read_integer(value, field, 0, 20)));
  draft.has_top_logprobs = draft.call.sampling.top_logprobs > 0;
  return {};
}

Result<void> read_chat_template_kwargs(const json::value& value, std::string_view field,
                                       RequestDraft& draft) {
  const json::object& variables = *TRY(read_object(value, field));
  for (const char* own : {"messages", "add_generation_prompt", "bos_token", "eos_token"}) {
    if (variables.contains(own))
      return invalid_argument("chat_template_kwargs may not set '" + std::string(own) + "'",
                              std::string(field) + "." + own);
  }
  if (!draft.call.conversation) draft.call.conversation.emplace();
  draft.call.conversation->template_variables_json = json::serialize(variables);
  return {};
}

Result<void> read_prediction(const json::value& value, std::string_view field, RequestDraft& draft) {
  const json::object& prediction = *TRY(read_object(value, field));
  const std::string path(field);
  const json::value* type = prediction.if_contains("type");
  if (type == nullptr) return missing_field(path + ".type");
  if (TRY(read_string(*type, path + ".type")) != "content")
    return invalid_argument(path + ".type is " + shown(*type) + ", must be \"content\"", path + ".type");
  const json::value* content = prediction.if_contains("content");
  if (content == nullptr) return missing_field(path + ".content");
  if (content->is_array())
    draft.call.prediction = TRY(read_text_parts(content->get_array(), path + ".content"));
  else
    draft.call.prediction = TRY(read_string(*content, path + ".content"));
  return {};
}

constexpr std::string_view kNoTools = "tools cannot be called yet; leave it out";

Result<void> allow_empty_list(const json::value& value, std::string_view field, RequestDraft&) {
  if (value.is_array() && value.get_array().empty()) return {};
  return refused_field(field, kNoTools);
}

Result<void> allow_no_tool_choice(const json::value& value, std::string_view field, RequestDraft&) {
  if (value.is_string() && (value.get_string() == "none" || value.get_string() == "auto")) return {};
  return refused_field(field, "without tools only none and auto can be chosen");
}

Result<void> allow_text_format(const json::value& value, std::string_view field, RequestDraft&) {
  const json::object& format = *TRY(read_object(value, field));
  const json::value* type = format.if_contains("type");
  if (type == nullptr) return missing_field("response_format.type");
  const std::string kind = TRY(read_string(*type, "response_format.type"));
  if (kind == "text") return {};
  return refused_field("response_format",
                       "type '" + kind.substr(0, 40) + "' cannot be enforced yet; only 'text' can");
}

Result<void> allow_text_modality(const json::value& value, std::string_view field, RequestDraft&) {
  const json::array& list = *TRY(read_array(value, field));
  if (std::all_of(list.begin(), list.end(), [](const json::value& entry) { return entry == "text"; }))
    return {};
  return refused_field(field, "only [\"text\"] can be made");
}

Result<void> allow_no_effort(const json::value& value, std::string_view field, RequestDraft&) {
  if (value.is_string() && value.get_string() == "none") return {};
  return refused_field(field,
                       "leave it out, or use chat_template_kwargs for switches of the model's template");
}

Result<void> allow_medium(const json::value& value, std::string_view field, RequestDraft&) {
  if (value.is_string() && value.get_string() == "medium") return {};
  return refused_field(field, "leave it out");
}

constexpr auto kHonoured = FieldUse::kHonoured;
constexpr auto kInforms = FieldUse::kInforms;
constexpr auto kRefused = FieldUse::kRefused;

constexpr Field<RequestDraft> kFields[] = {
    {"model", kHonoured, read_model},
    {"adapter", kHonoured, read_adapter},
    {"messages", kHonoured, note_messages},
    {"temperature", kHonoured, read_temperature},
    {"top_p", kHonoured, read_top_p},
    {"top_k", kHonoured, read_top_k},
    {"min_p", kHonoured, read_min_p},
    {"seed", kHonoured, read_seed},
    {"n", kHonoured, read_n},
    {"stop", kHonoured, read_stop},
    {"max_tokens", kHonoured, read_max_tokens},
    {"max_completion_tokens", kHonoured, read_max_completion_tokens},
    {"presence_penalty", kHonoured, read_presence_penalty},
    {"frequency_penalty", kHonoured, read_frequency_penalty},
    {"repetition_penalty", kHonoured, read_repetition_penalty},
    {"logit_bias", kHonoured, read_logit_bias},
    {"logprobs", kHonoured, read_logprobs},
    {"top_logprobs", kHonoured, read_top_logprobs},
    {"stream", kHonoured, read_stream},
    {"stream_options", kHonoured, read_stream_options},
    {"cache_salt", kHonoured, read_cache_salt},
    {"keep_alive", kHonoured, read_keep_alive},
    {"chat_template_kwargs", kHonoured, read_chat_template_kwargs},
    {"prediction", kHonoured, read_prediction},
    {"user", kInforms},
    {"metadata", kInforms},
    {"store", kInforms},
    {"service_tier", kInforms},
    {"safety_identifier", kInforms},
    {"prompt_cache_key", kInforms},
    {"prompt_cache_retention", kInforms},
    {"parallel_tool_calls", kInforms},
    {"tools", kRefused, allow_empty_list, kNoTools},
    {"tool_choice", kRefused, allow_no_tool_choice},
    {"functions", kRefused, allow_empty_list, kNoTools},
    {"function_call", kRefused, allow_no_tool_choice},
    {"response_format", kRefused, allow_text_format},
    {"modalities", kRefused, allow_text_modality},
    {"audio", kRefused, nullptr, "this model makes text only; leave it out"},
    {"reasoning_effort", kRefused, allow_no_effort},
    {"verbosity", kRefused, allow_medium},
    {"web_search_options", kRefused, nullptr, "leave it out"},
};

}  // namespace

std::span<const Field<RequestDraft>> chat_fields() { return kFields; }

Result<GenerationCall> decode_chat_request(std::string_view body, bool strict) {
  const json::object object = TRY(parse_request_object(body));
  RequestDraft draft;
  TRY(read_fields(object, chat_fields(), draft));
  TRY(check_common(draft));
  GenerationCall& call = draft.call;
  if (!draft.has_messages) return missing_field("messages");
  if (draft.has_top_logprobs && !call.sampling.logprobs)
    return invalid_argument("top_logprobs is only taken together with logprobs: true", "top_logprobs");
  // Two ceilings: both hold.
  if (call.max_tokens == 0 ||
      (draft.max_completion_tokens > 0 && draft.max_completion_tokens < call.max_tokens))
    call.max_tokens = draft.max_completion_tokens;
  if (!call.conversation) call.conversation.emplace();
  call.conversation->messages_json = TRY(normalize_messages(object.at("messages"), strict));
  call.prompt_field = "messages";
  return std::move(call);
}

}  // namespace mlxd::api::openai
