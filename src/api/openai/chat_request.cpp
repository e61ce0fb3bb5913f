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

constexpr std::string_view kNoFunctions = "use tools";

Result<void> read_tools_field(const json::value& value, std::string_view, RequestDraft& draft) {
  if (!draft.call.conversation) draft.call.conversation.emplace();
  draft.call.conversation->tools = TRY(read_tools(value));
  return {};
}

Result<void> read_tool_choice(const json::value& value, std::string_view field, RequestDraft& draft) {
  const std::string path(field);
  if (!draft.call.conversation) draft.call.conversation.emplace();
  Conversation& conversation = *draft.call.conversation;
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
    conversation.tool_to_call = TRY(read_string(*name, path + ".function.name"));
    conversation.must_call = true;
    return {};
  }
  const std::string choice = TRY(read_string(value, field));
  if (choice != "none" && choice != "auto" && choice != "required")
    return invalid_argument(path + " is " + shown(value) + ", must be none, auto, required or a function",
                            path);
  draft.no_tools = choice == "none";
  conversation.must_call = choice == "required";
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
  draft.call.one_tool_call = !TRY(read_boolean(value, field));
  return {};
}

Result<void> read_reasoning_effort(const json::value& value, std::string_view field, RequestDraft& draft) {
  if (!draft.call.conversation) draft.call.conversation.emplace();
  return read_effort(value, field, *draft.call.conversation);
}

Result<void> allow_empty_list(const json::value& value, std::string_view field, RequestDraft&) {
  if (value.is_array() && value.get_array().empty()) return {};
  return refused_field(field, kNoFunctions);
}

Result<void> allow_no_function_call(const json::value& value, std::string_view field, RequestDraft&) {
  if (value.is_string() && (value.get_string() == "none" || value.get_string() == "auto")) return {};
  return refused_field(field, "use tool_choice");
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
  return refused_field(field, "only [\"text\"] can be made");
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
    {"tools", kHonoured, read_tools_field},
    {"tool_choice", kHonoured, read_tool_choice},
    {"parallel_tool_calls", kHonoured, read_parallel_tool_calls},
    {"reasoning_effort", kHonoured, read_reasoning_effort},
    {"thinking_budget", kHonoured, read_thinking_budget},
    {"response_format", kHonoured, read_response_format},
    {"user", kInforms},
    {"metadata", kInforms},
    {"store", kInforms},
    {"service_tier", kInforms},
    {"safety_identifier", kInforms},
    {"prompt_cache_key", kInforms},
    {"prompt_cache_retention", kInforms},
    {"functions", kRefused, allow_empty_list, kNoFunctions},
    {"function_call", kRefused, allow_no_function_call},
    {"modalities", kRefused, allow_text_modality},
    {"audio", kRefused, nullptr, "this model makes text only; leave it out"},
    {"verbosity", kRefused, allow_medium},
    {"web_search_options", kRefused, nullptr, "leave it out"},
};

}  // namespace

std::span<const Field<RequestDraft>> chat_fields() { return kFields; }

Result<GenerationCall> decode_chat_request(std::string_view body, bool strict) {
  return decode_chat_object(TRY(parse_request_object(body)), strict);
}

Result<GenerationCall> decode_chat_object(const json::object& object, bool strict) {
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
  call.conversation->messages = TRY(read_messages(object.at("messages"), strict));
  TRY(check_tools(draft));
  if (draft.no_tools) call.conversation->tools.clear();
  call.prompt_field = "messages";
  return std::move(call);
}

}  // namespace mlxd::api::openai
