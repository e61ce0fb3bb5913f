#include "api/openai/request_fields.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <charconv>
#include <iterator>
#include <limits>
#include <string>
#include <utility>

#include "api/json_text.h"
#include "api/keep_alive.h"

namespace mlxd::api::openai {

namespace json = boost::json;

Result<void> read_model(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.model = TRY(read_string(value, field));
  return {};
}

Result<void> read_adapter(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.adapter = TRY(read_string(value, field));
  if (!draft.call.adapter.empty()) return {};
  return invalid_argument(
      std::string(field) + " is empty: name an adapter, or leave it out for the model itself",
      std::string(field));
}

Result<void> read_temperature(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.sampling.temperature = TRY(read_number(value, field));
  return {};
}

Result<void> read_top_p(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.sampling.top_p = TRY(read_number(value, field));
  return {};
}

Result<void> read_top_k(const json::value& value, std::string_view field, RequestDraft& draft) {
  // Other servers write "off" as -1.
  draft.call.sampling.top_k = std::max(TRY(read_int32(value, field)), 0);
  return {};
}

Result<void> read_min_p(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.sampling.min_p = TRY(read_number(value, field));
  return {};
}

Result<void> read_seed(const json::value& value, std::string_view field, RequestDraft& draft) {
  if (value.is_uint64()) {
    draft.call.sampling.seed = value.get_uint64();
    return {};
  }
  draft.call.sampling.seed = static_cast<std::uint64_t>(TRY(read_integer(value, field)));
  return {};
}

Result<void> read_n(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.num_choices = TRY(read_int32(value, field));
  return {};
}

Result<std::vector<std::string>> read_stop_strings(const json::value& value, const std::string& field) {
  std::vector<std::string> strings;
  const json::array& list = *TRY(read_array(value, field));
  if (list.size() > kMaxStopStrings)
    return invalid_argument(field + " has " + std::to_string(list.size()) + " strings, at most " +
                                std::to_string(kMaxStopStrings) + " are taken",
                            field);
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < list.size(); ++i) {
    strings.push_back(TRY(read_string(list[i], field + "[" + std::to_string(i) + "]")));
    if (strings.back().empty())
      return invalid_argument(field + " has an empty string, each must have a character", field);
    bytes += strings.back().size();
  }
  if (bytes > kMaxStopBytes)
    return invalid_argument(field + " has " + std::to_string(bytes) + " bytes, at most " +
                                std::to_string(kMaxStopBytes) + " are taken in all",
                            field);
  return strings;
}

Result<void> read_stop(const json::value& value, std::string_view field, RequestDraft& draft) {
  if (!value.is_string() && !value.is_array())
    return wrong_type(value, field, "a string or a list of strings");
  draft.call.stop_strings =
      TRY(read_stop_strings(value.is_array() ? value : json::value(json::array{value}), std::string(field)));
  return {};
}

Result<void> read_max_tokens(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.max_tokens = TRY(read_int32(value, field));
  return {};
}

Result<void> read_presence_penalty(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.sampling.presence_penalty = TRY(read_number(value, field));
  return {};
}

Result<void> read_frequency_penalty(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.sampling.frequency_penalty = TRY(read_number(value, field));
  return {};
}

Result<void> read_repetition_penalty(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.sampling.repetition_penalty = TRY(read_number(value, field));
  return {};
}

Result<void> read_logit_bias(const json::value& value, std::string_view field, RequestDraft& draft) {
  const json::object& object = *TRY(read_object(value, field));
  std::vector<LogitBias> biases;
  biases.reserve(object.size());
  for (const auto& [key, entry] : object) {
    LogitBias bias;
    const auto [end, code] = std::from_chars(key.data(), key.data() + key.size(), bias.token);
    // Written one way only ("5", not "05"): else one token could have any number of biases.
    if (code != std::errc() || end != key.data() + key.size() || bias.token < 0 ||
        std::to_string(bias.token) != std::string_view(key.data(), key.size()))
      return invalid_argument(
          "logit_bias has the key '" + std::string(key).substr(0, 40) + "', each must be a token id",
          "logit_bias");
    bias.bias = TRY(read_number(entry, "logit_bias." + std::string(key), -100.0, 100.0));
    biases.push_back(bias);
  }
  draft.call.sampling.logit_bias = std::move(biases);
  return {};
}

Result<void> read_cache_salt(const json::value& value, std::string_view field, RequestDraft& draft) {
  constexpr std::size_t kMostBytes = 256;
  draft.call.cache_salt = TRY(read_string(value, field));
  const std::size_t bytes = draft.call.cache_salt.size();
  if (bytes > 0 && bytes <= kMostBytes) return {};
  return invalid_argument(
      "cache_salt has " + std::to_string(bytes) + " bytes, must have 1 to " + std::to_string(kMostBytes),
      std::string(field));
}

Result<void> read_keep_alive(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.keep_alive = TRY(read_duration(value, field));
  return {};
}

Result<void> read_stream(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.stream = TRY(read_boolean(value, field));
  return {};
}

namespace {

Result<void> read_include_usage(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.include_usage = TRY(read_boolean(value, field));
  return {};
}

constexpr Field<RequestDraft> kStreamOptions[] = {
    {"include_usage",
     FieldUse::kHonoured,
     read_include_usage,
     {"One more chunk at the end, with what the request has used.", boolean().by_default("false")}},
    kObfuscation<RequestDraft>,
};

}  // namespace

std::vector<FieldInfo> stream_option_infos() { return infos_of<RequestDraft>(kStreamOptions); }

Result<void> read_stream_options(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.has_stream_options = true;
  return read_fields<RequestDraft>(*TRY(read_object(value, field)), kStreamOptions, draft, field);
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
  draft.call.conversation->template_variables_json.clear();
  append_json_value(draft.call.conversation->template_variables_json, variables);
  return {};
}

Result<void> read_thinking_budget(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.thinking_budget = TRY(read_int32(value, field));
  return {};
}

Result<void> read_max_tool_calls(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.limit_tool_calls(TRY(read_int32(value, field)));
  return {};
}

Result<void> read_effort(const json::value& value, std::string_view field, Conversation& conversation) {
  conversation.reasoning_effort = TRY(read_string(value, field));
  return {};
}

Result<void> check_common(const RequestDraft& draft) {
  if (draft.call.model.empty()) return missing_field("model");
  if (draft.has_stream_options && !draft.call.stream)
    return invalid_argument("stream_options is only taken together with stream: true", "stream_options");
  return {};
}

}  // namespace mlxd::api::openai
