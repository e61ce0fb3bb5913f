#include "api/openai/chat_request.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <iterator>
#include <limits>
#include <string>

#include "api/json_text.h"

namespace mlxd::api::openai {

namespace json = boost::json;

namespace {

Conversation& conversation(RequestDraft& draft) {
  if (!draft.call.conversation) draft.call.conversation.emplace();
  return *draft.call.conversation;
}

Result<void> read_messages_field(const json::value& value, std::string_view, RequestDraft& draft) {
  conversation(draft).messages = TRY(read_messages(value, draft.strict));
  return {};
}

Result<void> read_max_completion_tokens(const json::value& value, std::string_view field,
                                        RequestDraft& draft) {
  draft.max_completion_tokens = TRY(read_int32(value, field));
  return {};
}

Result<void> read_logprobs(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.sampling.logprobs = TRY(read_boolean(value, field));
  return {};
}

Result<void> read_top_logprobs(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.call.sampling.top_logprobs = TRY(read_int32(value, field));
  draft.has_top_logprobs = draft.call.sampling.top_logprobs > 0;
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

Result<void> read_tools_field(const json::value& value, std::string_view, RequestDraft& draft) {
  conversation(draft).tools = TRY(read_tools(value));
  return {};
}

Result<void> read_tool_choice(const json::value& value, std::string_view field, RequestDraft& draft) {
  const std::string path(field);
  Conversation& chat = conversation(draft);
  if (value.is_object()) {
    const json::object& choice = value.get_object();
    const json::value* type = choice.if_contains("type");
    if (type == nullptr) return missing_field(path + ".type");
    if (TRY(read_string(*type, path + ".type")) != "function")
      return refused_field(field, "only a function can be named");
    const json::value* function = choice.if_contains("function");
    if (function == nullptr) return missing_field(path + ".function");
    const json::value* name = TRY(read_object(*function, path + ".function"))->if_contains("name");
    if (name == nullptr) return missing_field(path + ".function.name");
    chat.tool_to_call = TRY(read_string(*name, path + ".function.name"));
    chat.must_call = true;
    return {};
  }
  const std::string choice = TRY(read_string(value, field));
  if (choice != "none" && choice != "auto" && choice != "required")
    return invalid_argument(path + " is " + shown(value) + ", must be none, auto, required or a function",
                            path);
  draft.no_tools = choice == "none";
  chat.must_call = choice == "required";
  return {};
}

Result<void> check_tools(const RequestDraft& draft) {
  const Conversation& conversation = *draft.call.conversation;
  const std::vector<Tool>& tools = conversation.tools;
  if (!conversation.must_call) return {};
  if (tools.empty())
    return invalid_argument("tool_choice forces a call, but there are no tools", "tool_choice");
  const std::string& name = conversation.tool_to_call;
  const bool is_known = name.empty() || std::any_of(tools.begin(), tools.end(),
                                                    [&](const Tool& tool) { return tool.name == name; });
  if (is_known) return {};
  return invalid_argument("tool_choice names '" + name.substr(0, 60) + "', which is none of the tools",
                          "tool_choice.function.name");
}

Result<void> read_parallel_tool_calls(const json::value& value, std::string_view field, RequestDraft& draft) {
  if (!TRY(read_boolean(value, field))) draft.call.limit_tool_calls(1);
  return {};
}

Result<void> read_reasoning_effort(const json::value& value, std::string_view field, RequestDraft& draft) {
  return read_effort(value, field, conversation(draft));
}

constexpr std::string_view kNoFunctions = "use tools";
constexpr std::string_view kNoFunctionCall = "use tool_choice";
constexpr std::string_view kTextOnly = "only [\"text\"] can be made";
constexpr std::string_view kNoVerbosity = "leave it out";

Result<void> allow_empty_list(const json::value& value, std::string_view field, RequestDraft&) {
  if (value.is_array() && value.get_array().empty()) return {};
  return refused_field(field, kNoFunctions);
}

Result<void> allow_no_function_call(const json::value& value, std::string_view field, RequestDraft&) {
  if (value.is_string() && (value.get_string() == "none" || value.get_string() == "auto")) return {};
  return refused_field(field, kNoFunctionCall);
}

Result<void> read_response_format(const json::value& value, std::string_view field, RequestDraft& draft) {
  const std::string path(field);
  const json::object& format = *TRY(read_object(value, field));
  const json::value* type = format.if_contains("type");
  if (type == nullptr) return missing_field(path + ".type");
  const std::string kind = TRY(read_string(*type, path + ".type"));
  if (kind == "text") return {};
  if (kind == "json_object") {
    draft.call.answer_grammar = Grammar{GrammarKind::kJsonSchema, R"({"type": "object"})"};
    return {};
  }
  if (kind == "regex" || kind == "lark") {
    const json::value* source = format.if_contains(kind);
    if (source == nullptr) return missing_field(path + "." + kind);
    draft.call.answer_grammar = Grammar{kind == "regex" ? GrammarKind::kRegex : GrammarKind::kLark,
                                        TRY(read_string(*source, path + "." + kind))};
    return {};
  }
  if (kind != "json_schema")
    return invalid_argument(
        path + ".type is " + shown(*type) + ", must be text, json_object, json_schema, regex or lark",
        path + ".type");
  const json::value* named = format.if_contains("json_schema");
  if (named == nullptr) return missing_field(path + ".json_schema");
  const json::object& details = *TRY(read_object(*named, path + ".json_schema"));
  const json::value* schema = details.if_contains("schema");
  if (schema == nullptr) return missing_field(path + ".json_schema.schema");
  const json::object* const asked = TRY(read_object(*schema, path + ".json_schema.schema"));
  TRY(check_schema(*asked, path + ".json_schema.schema"));
  draft.call.answer_grammar.emplace();
  append_json_value(draft.call.answer_grammar->source, *schema);
  return {};
}

Result<void> allow_text_modality(const json::value& value, std::string_view field, RequestDraft&) {
  const json::array& list = *TRY(read_array(value, field));
  if (std::all_of(list.begin(), list.end(), [](const json::value& entry) { return entry == "text"; }))
    return {};
  return refused_field(field, kTextOnly);
}

Result<void> allow_medium(const json::value& value, std::string_view field, RequestDraft&) {
  if (value.is_string() && value.get_string() == "medium") return {};
  return refused_field(field, kNoVerbosity);
}

constexpr auto kRequired = FieldUse::kRequired;
constexpr auto kHonoured = FieldUse::kHonoured;
constexpr auto kInforms = FieldUse::kInforms;
constexpr auto kRefused = FieldUse::kRefused;

constexpr Field<RequestDraft> kFields[] = {
    {"model", kRequired, read_model, meaning::kModel},
    {"adapter", kHonoured, read_adapter, meaning::kAdapter},
    {"messages",
     kRequired,
     read_messages_field,
     {"The chat so far. Keys that are not the API's own go to the model's template.",
      typed("ChatMessage[]")}},
    {"temperature", kHonoured, read_temperature, meaning::kTemperature},
    {"top_p", kHonoured, read_top_p, meaning::kTopP},
    {"top_k", kHonoured, read_top_k, meaning::kTopK},
    {"min_p", kHonoured, read_min_p, meaning::kMinP},
    {"seed", kHonoured, read_seed, meaning::kSeed},
    {"n", kHonoured, read_n, kChoicesMeaning},
    {"stop", kHonoured, read_stop, meaning::kStop},
    {"max_tokens", kHonoured, read_max_tokens, meaning::kMaxTokens},
    {"max_completion_tokens", kHonoured, read_max_completion_tokens, meaning::kMaxTokens},
    {"presence_penalty", kHonoured, read_presence_penalty, meaning::kPresencePenalty},
    {"frequency_penalty", kHonoured, read_frequency_penalty, meaning::kFrequencyPenalty},
    {"repetition_penalty", kHonoured, read_repetition_penalty, meaning::kRepetitionPenalty},
    {"logit_bias", kHonoured, read_logit_bias, meaning::kLogitBias},
    {"logprobs", kHonoured, read_logprobs, meaning::kLogprobs},
    {"top_logprobs", kHonoured, read_top_logprobs, meaning::kTopLogprobs},
    {"stream", kHonoured, read_stream, meaning::kStream},
    {"stream_options", kHonoured, read_stream_options, kStreamOptionsMeaning},
    {"cache_salt", kHonoured, read_cache_salt, meaning::kCacheSalt},
    {"keep_alive", kHonoured, read_keep_alive, meaning::kKeepAlive},
    {"chat_template_kwargs", kHonoured, read_chat_template_kwargs, meaning::kTemplateVariables},
    {"prediction",
     kHonoured,
     read_prediction,
     {"Text that the answer is likely to have in it: it comes sooner where it does, and is the same.",
      typed("Prediction")}},
    {"tools", kHonoured, read_tools_field, meaning::kTools},
    {"tool_choice",
     kHonoured,
     read_tool_choice,
     {"Whether tools are called: none, if the model wants, at least one, or the one that is named.",
      typed("'none'|'auto'|'required'|NamedTool")}},
    {"parallel_tool_calls", kHonoured, read_parallel_tool_calls, meaning::kParallelToolCalls},
    {"max_tool_calls", kHonoured, read_max_tool_calls, meaning::kMaxToolCalls},
    {"reasoning_effort",
     kHonoured,
     read_reasoning_effort,
     {"How much the model thinks before it answers; what it does not know is told in x-mlxd-ignored.",
      one_of(kEfforts)}},
    {"thinking_budget", kHonoured, read_thinking_budget, meaning::kThinkingBudget},
    {"response_format",
     kHonoured,
     read_response_format,
     {"What the answer's text is to match; it is enforced.", typed("ResponseFormat")}},
    {"user", kInforms, nullptr, meaning::kInformsOnly},
    {"metadata", kInforms, nullptr, meaning::kInformsOnly},
    {"store", kInforms, nullptr, meaning::kInformsOnly},
    {"service_tier", kInforms, nullptr, meaning::kInformsOnly},
    {"safety_identifier", kInforms, nullptr, meaning::kInformsOnly},
    {"prompt_cache_key", kInforms, nullptr, meaning::kInformsOnly},
    {"prompt_cache_retention", kInforms, nullptr, meaning::kInformsOnly},
    {"functions", kRefused, allow_empty_list, {kNoFunctions}},
    {"function_call", kRefused, allow_no_function_call, {kNoFunctionCall}},
    {"modalities", kRefused, allow_text_modality, {kTextOnly}},
    {"audio", kRefused, nullptr, {"this model makes text only; leave it out"}},
    {"verbosity", kRefused, allow_medium, {kNoVerbosity}},
    {"web_search_options", kRefused, nullptr, meaning::kToRefuse},
};

}  // namespace

std::span<const Field<RequestDraft>> chat_fields() { return kFields; }

Result<GenerationCall> decode_chat_request(std::string_view body, bool strict, UnknownFields unknown) {
  return decode_chat_object(TRY(parse_request_object(body)), strict, unknown);
}

Result<GenerationCall> decode_chat_object(const json::object& object, bool strict, UnknownFields unknown) {
  RequestDraft draft;
  draft.strict = strict;
  draft.unknown_fields = unknown;
  TRY(read_fields(object, chat_fields(), draft));
  TRY(check_common(draft));
  GenerationCall& call = draft.call;
  if (draft.has_top_logprobs && !call.sampling.logprobs)
    return invalid_argument("top_logprobs is only taken together with logprobs: true", "top_logprobs");
  // Two ceilings: both hold.
  if (call.max_tokens == 0 ||
      (draft.max_completion_tokens > 0 && draft.max_completion_tokens < call.max_tokens))
    call.max_tokens = draft.max_completion_tokens;
  TRY(check_tools(draft));
  if (draft.no_tools) call.conversation->tools.clear();
  call.prompt_field = "messages";
  return std::move(call);
}

}  // namespace mlxd::api::openai
