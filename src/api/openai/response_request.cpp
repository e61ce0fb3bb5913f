#include "api/openai/response_request.h"

#include <algorithm>
#include <boost/json/object.hpp>
#include <iterator>
#include <limits>
#include <string>
#include <utility>

#include "api/json_text.h"
#include "api/openai/chat_request.h"
#include "api/openai/response_items.h"

namespace mlxd::api::openai {

namespace json = boost::json;

namespace {

template <ReadField read>
Result<void> shared(const json::value& value, std::string_view field, ResponseDraft& draft) {
  return read(value, field, draft);
}

Conversation& conversation(ResponseDraft& draft) {
  if (!draft.call.conversation) draft.call.conversation.emplace();
  return *draft.call.conversation;
}

Result<void> read_input_field(const json::value& value, std::string_view, ResponseDraft& draft) {
  draft.own->input = TRY(read_input(value));
  return {};
}

Result<void> read_instructions(const json::value& value, std::string_view field, ResponseDraft& draft) {
  draft.own->instructions = TRY(read_string(value, field));
  return {};
}

Result<void> read_previous(const json::value& value, std::string_view field, ResponseDraft& draft) {
  draft.own->previous_id = TRY(read_string(value, field));
  if (!draft.own->previous_id.empty()) return {};
  return invalid_argument(std::string(field) + " is empty: name a response, or leave it out",
                          std::string(field));
}

Result<void> read_store(const json::value& value, std::string_view field, ResponseDraft& draft) {
  draft.own->store = TRY(read_boolean(value, field));
  return {};
}

Result<void> read_metadata(const json::value& value, std::string_view field, ResponseDraft&) {
  for (const auto& [key, entry] : *TRY(read_object(value, field)))
    TRY(read_string(entry, std::string(field) + "." + std::string(key).substr(0, 60)));
  return {};
}

Result<void> read_max_output_tokens(const json::value& value, std::string_view field, ResponseDraft& draft) {
  return read_max_tokens(value, field, draft);
}

Result<void> read_top_logprobs(const json::value& value, std::string_view field, ResponseDraft& draft) {
  SamplingParams& sampling = draft.call.sampling;
  sampling.top_logprobs = TRY(read_int32(value, field));
  if (sampling.top_logprobs > 0) sampling.logprobs = true;
  return {};
}

Result<void> read_include(const json::value& value, std::string_view field, ResponseDraft& draft) {
  static constexpr std::string_view kElsewhere[] = {"file_search_call.results",
                                                    "web_search_call.results",
                                                    "web_search_call.action.sources",
                                                    "message.input_image.image_url",
                                                    "computer_call_output.output.image_url",
                                                    "code_interpreter_call.outputs"};
  const json::array& list = *TRY(read_array(value, field));
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string path = std::string(field) + "[" + std::to_string(i) + "]";
    const std::string what = TRY(read_string(list[i], path));
    if (what == "message.output_text.logprobs")
      draft.call.sampling.logprobs = true;
    else if (what == "reasoning.encrypted_content")
      draft.own->encrypted_reasoning = true;
    else if (std::find(std::begin(kElsewhere), std::end(kElsewhere), what) == std::end(kElsewhere))
      return invalid_argument(path + " is " + shown(list[i]) +
                                  ", must be message.output_text.logprobs or reasoning.encrypted_content",
                              path);
  }
  return {};
}

Result<void> read_reasoning_effort(const json::value& value, std::string_view field, ResponseDraft& draft) {
  return read_effort(value, field, conversation(draft));
}

Result<void> read_summary(const json::value& value, std::string_view field, ResponseDraft& draft) {
  draft.own->summary = TRY(read_string(value, field)) != "none";
  return {};
}

constexpr std::string_view kSummaries[] = {"auto", "concise", "detailed", "none"};
constexpr Meaning kSummaryMeaning{"Unless none: the reasoning is given, whole, as its summary.",
                                  one_of(kSummaries)};
constexpr Field<ResponseDraft> kReasoningFields[] = {
    {"effort",
     FieldUse::kHonoured,
     read_reasoning_effort,
     {"How much the model thinks before it answers.", one_of(kEfforts)}},
    {"summary", FieldUse::kHonoured, read_summary, kSummaryMeaning},
    {"generate_summary", FieldUse::kHonoured, read_summary, kSummaryMeaning},
};

Result<void> read_reasoning(const json::value& value, std::string_view field, ResponseDraft& draft) {
  return read_fields<ResponseDraft>(*TRY(read_object(value, field)), kReasoningFields, draft, field);
}

Result<void> read_format(const json::value& value, std::string_view field, ResponseDraft& draft) {
  const std::string path(field);
  const json::object& format = *TRY(read_object(value, path));
  const json::value* type = format.if_contains("type");
  if (type == nullptr) return missing_field(path + ".type");
  const std::string kind = TRY(read_string(*type, path + ".type"));
  if (kind == "text") return {};
  if (kind == "json_object") {
    draft.call.answer_grammar = Grammar{GrammarKind::kJsonSchema, R"({"type": "object"})"};
    return {};
  }
  if (kind != "json_schema")
    return invalid_argument(path + ".type is " + shown(*type) + ", must be text, json_object or json_schema",
                            path + ".type");
  const json::value* schema = format.if_contains("schema");
  if (schema == nullptr) return missing_field(path + ".schema");
  TRY(check_schema(*TRY(read_object(*schema, path + ".schema")), path + ".schema"));
  draft.call.answer_grammar.emplace();
  append_json_value(draft.call.answer_grammar->source, *schema);
  return {};
}

constexpr std::string_view kVerbosities[] = {"low", "medium", "high"};
constexpr Field<ResponseDraft> kTextFields[] = {
    {"format",
     FieldUse::kHonoured,
     read_format,
     {"What the answer's text is to match; it is enforced.", typed("TextFormat")}},
    {"verbosity",
     FieldUse::kInforms,
     nullptr,
     {"Repeated in the answer; it changes nothing here.", one_of(kVerbosities).by_default("\"medium\"")}},
};

Result<void> read_text(const json::value& value, std::string_view field, ResponseDraft& draft) {
  return read_fields<ResponseDraft>(*TRY(read_object(value, field)), kTextFields, draft, field);
}

Result<void> read_tools_field(const json::value& value, std::string_view, ResponseDraft& draft) {
  draft.tools = TRY(read_response_tools(value));
  return {};
}

Result<void> note_tool_choice(const json::value& value, std::string_view, ResponseDraft& draft) {
  draft.tool_choice = &value;
  return {};
}

Result<void> read_parallel_tool_calls(const json::value& value, std::string_view field,
                                      ResponseDraft& draft) {
  if (!TRY(read_boolean(value, field))) draft.call.limit_tool_calls(1);
  return {};
}

Result<void> read_truncation(const json::value& value, std::string_view field, ResponseDraft& draft) {
  draft.call.drop_oldest = TRY(read_string(value, field)) == "auto";
  return {};
}

constexpr std::string_view kUsageAlways = "a response's last event always has its usage";

Result<void> allow_no_usage(const json::value& value, std::string_view field, ResponseDraft&) {
  if (!TRY(read_boolean(value, field))) return {};
  return refused_field(field, kUsageAlways);
}

constexpr Field<ResponseDraft> kStreamOptions[] = {
    {"include_usage", FieldUse::kRefused, allow_no_usage, {kUsageAlways, boolean()}},
    kObfuscation<ResponseDraft>,
};

Result<void> read_stream_options(const json::value& value, std::string_view field, ResponseDraft& draft) {
  draft.has_stream_options = true;
  return read_fields<ResponseDraft>(*TRY(read_object(value, field)), kStreamOptions, draft, field);
}

constexpr std::string_view kForeground = "take stream: true, or send the request from another task";

Result<void> allow_foreground(const json::value& value, std::string_view field, ResponseDraft&) {
  if (!TRY(read_boolean(value, field))) return {};
  return refused_field(field, kForeground);
}

constexpr auto kRequired = FieldUse::kRequired;
constexpr auto kHonoured = FieldUse::kHonoured;
constexpr auto kInforms = FieldUse::kInforms;
constexpr auto kRefused = FieldUse::kRefused;

constexpr std::string_view kTruncations[] = {"auto", "disabled"};

constexpr Field<ResponseDraft> kFields[] = {
    {"model", kRequired, shared<read_model>, meaning::kModel},
    {"adapter", kHonoured, shared<read_adapter>, meaning::kAdapter},
    {"input",
     kRequired,
     read_input_field,
     {"A text, or items: the chat so far.", typed("string|InputItem[]")}},
    {"instructions", kHonoured, read_instructions, {"The system prompt; of this request alone.", text()}},
    {"previous_response_id",
     kHonoured,
     read_previous,
     {"The kept response that this one goes on from.", text()}},
    {"store",
     kHonoured,
     read_store,
     {"Whether the response is kept for later requests.", boolean().by_default("true")}},
    {"max_output_tokens", kHonoured, read_max_output_tokens, meaning::kMaxTokens},
    {"temperature", kHonoured, shared<read_temperature>, meaning::kTemperature},
    {"top_p", kHonoured, shared<read_top_p>, meaning::kTopP},
    {"top_logprobs",
     kHonoured,
     read_top_logprobs,
     {"How many of the likeliest tokens stand beside each; above 0 each token comes with its "
      "log-probability.",
      integer(0, 20).by_default("0")}},
    {"include",
     kHonoured,
     read_include,
     {"What else the answer has: message.output_text.logprobs, reasoning.encrypted_content.",
      typed("string[]")}},
    {"reasoning", kHonoured, read_reasoning, {"How the model thinks.", object_of([] {
                                                return infos_of<ResponseDraft>(kReasoningFields);
                                              })}},
    {"text", kHonoured, read_text, {"How the answer's text is made.", object_of([] {
                                      return infos_of<ResponseDraft>(kTextFields);
                                    })}},
    {"tools",
     kHonoured,
     read_tools_field,
     {"Functions and tools that take text; others, which run elsewhere, are told in x-mlxd-ignored.",
      typed("ResponseTool[]")}},
    {"tool_choice",
     kHonoured,
     note_tool_choice,
     {"Whether tools are called: none, if the model wants, at least one, or the one that is named.",
      typed("'none'|'auto'|'required'|object")}},
    {"parallel_tool_calls", kHonoured, read_parallel_tool_calls, meaning::kParallelToolCalls},
    {"truncation",
     kHonoured,
     read_truncation,
     {"auto: a chat that does not fit the context begins later.",
      one_of(kTruncations).by_default("\"disabled\"")}},
    {"stream", kHonoured, shared<read_stream>, meaning::kStream},
    {"stream_options",
     kHonoured,
     read_stream_options,
     {"How to stream; only together with stream: true.",
      object_of([] { return infos_of<ResponseDraft>(kStreamOptions); })}},
    // Not OpenAI's here, but of its other routes or of this server.
    {"top_k", kHonoured, shared<read_top_k>, meaning::kTopK},
    {"min_p", kHonoured, shared<read_min_p>, meaning::kMinP},
    {"seed", kHonoured, shared<read_seed>, meaning::kSeed},
    {"stop", kHonoured, shared<read_stop>, meaning::kStop},
    {"presence_penalty", kHonoured, shared<read_presence_penalty>, meaning::kPresencePenalty},
    {"frequency_penalty", kHonoured, shared<read_frequency_penalty>, meaning::kFrequencyPenalty},
    {"repetition_penalty", kHonoured, shared<read_repetition_penalty>, meaning::kRepetitionPenalty},
    {"logit_bias", kHonoured, shared<read_logit_bias>, meaning::kLogitBias},
    {"cache_salt", kHonoured, shared<read_cache_salt>, meaning::kCacheSalt},
    {"keep_alive", kHonoured, shared<read_keep_alive>, meaning::kKeepAlive},
    {"chat_template_kwargs", kHonoured, shared<read_chat_template_kwargs>, meaning::kTemplateVariables},
    {"thinking_budget", kHonoured, shared<read_thinking_budget>, meaning::kThinkingBudget},
    {"metadata", kInforms, read_metadata, {"Texts by name, repeated in the answer.", typed("object")}},
    {"user", kInforms, nullptr, meaning::kInformsOnly},
    {"service_tier", kInforms, nullptr, meaning::kInformsOnly},
    {"safety_identifier", kInforms, nullptr, meaning::kInformsOnly},
    {"prompt_cache_key", kInforms, nullptr, meaning::kInformsOnly},
    {"prompt_cache_retention", kInforms, nullptr, meaning::kInformsOnly},
    {"prompt_cache_options", kInforms, nullptr, meaning::kInformsOnly},
    {"client_metadata", kInforms, nullptr, meaning::kInformsOnly},
    {"max_tool_calls", kInforms, nullptr, {"Of built-in tools, of which there are none."}},
    {"background", kRefused, allow_foreground, {kForeground, boolean()}},
    {"conversation", kRefused, nullptr, {"take previous_response_id, or send the items"}},
    {"prompt", kRefused, nullptr, {"send its text as instructions"}},
    {"moderation", kRefused, nullptr, meaning::kToRefuse},
    {"context_management", kRefused, nullptr, {"take truncation: auto"}},
};

/// What an answer repeats of its request, with OpenAI's defaults for the rest.
std::string repeated(const json::object& request, const ResponseDraft& draft) {
  std::string out;
  const auto add = [&](const char* key, const json::value& value) {
    out += out.empty() ? "\"" : ",\"";
    out += key;
    out += "\":";
    append_json_value(out, value);
  };
  const auto repeat = [&](const char* key, const json::value& otherwise) {
    const json::value* value = request.if_contains(key);
    add(key, value != nullptr && !value->is_null() ? *value : otherwise);
  };
  const auto member = [&](const char* key, const char* name, const json::value& otherwise) -> json::value {
    const json::value* object = request.if_contains(key);
    const json::value* value =
        object != nullptr && object->is_object() ? object->get_object().if_contains(name) : nullptr;
    return value != nullptr && !value->is_null() ? *value : otherwise;
  };
  add("background", false);
  repeat("instructions", nullptr);
  repeat("max_output_tokens", nullptr);
  repeat("max_tool_calls", nullptr);
  repeat("metadata", json::object());
  repeat("parallel_tool_calls", true);
  repeat("previous_response_id", nullptr);
  repeat("prompt_cache_key", nullptr);
  add("reasoning", json::object{{"effort", member("reasoning", "effort", nullptr)},
                                {"summary", member("reasoning", "summary", nullptr)}});
  repeat("safety_identifier", nullptr);
  add("service_tier", "default");
  repeat("temperature", 1.0);
  add("text", json::object{{"format", member("text", "format", json::object{{"type", "text"}})},
                           {"verbosity", member("text", "verbosity", "medium")}});
  repeat("tool_choice", "auto");
  add("tools", draft.tools.honoured);
  repeat("top_logprobs", 0);
  repeat("top_p", 1.0);
  repeat("truncation", "disabled");
  repeat("user", nullptr);
  return out;
}

}  // namespace

std::span<const Field<ResponseDraft>> response_fields() { return kFields; }

Result<void> set_items(GenerationCall& call, const json::array& history, const json::array& input) {
  const auto& own = static_cast<const ResponseDetails&>(*call.details);
  std::vector<Message>& messages = call.conversation->messages;
  messages.clear();
  if (!own.instructions.empty()) messages.push_back({.role = Role::kSystem, .content = own.instructions});
  json::array items = history;
  items.insert(items.end(), input.begin(), input.end());
  std::vector<std::string> ignored;
  std::vector<Message> read = TRY(read_items(items, {}, ignored));
  messages.insert(messages.end(), std::make_move_iterator(read.begin()), std::make_move_iterator(read.end()));
  return {};
}

Result<GenerationCall> decode_response_request(std::string_view body, bool strict, UnknownFields unknown) {
  const json::object object = TRY(parse_request_object(body));
  ResponseDraft draft;
  draft.unknown_fields = unknown;
  TRY(read_fields(object, response_fields(), draft));
  TRY(check_common(draft));
  GenerationCall& call = draft.call;
  ResponseDetails& own = *draft.own;
  conversation(draft).messages = TRY(read_items(own.input, {.strict = strict}, call.ignored));
  const std::vector<Message>& messages = call.conversation->messages;
  const bool may_be_empty = !own.previous_id.empty() || !own.input.empty();
  if (messages.empty() && !may_be_empty)
    return invalid_argument("input is empty, must have at least one item", "input");
  TRY(choose_tools(draft.tool_choice, draft.tools, *call.conversation));
  own.text_tools = draft.tools.text_tools;
  own.logprobs = call.sampling.logprobs;
  own.strict = strict;
  own.echo_json = repeated(object, draft);
  call.ignored.insert(call.ignored.end(), draft.tools.ignored.begin(), draft.tools.ignored.end());
  call.prompt_field = "input";
  call.grammar_field = "text.format";
  call.details = draft.own;
  // Those before the request's own come once they are known.
  if (own.previous_id.empty()) TRY(set_items(call, {}, own.input));
  return std::move(call);
}

}  // namespace mlxd::api::openai
