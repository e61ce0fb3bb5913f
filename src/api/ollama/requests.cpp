#include "api/ollama/requests.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <string>
#include <utility>

#include "api/openai/chat_request.h"
#include "base/ascii.h"

namespace mlxd::api::ollama {

namespace json = boost::json;

namespace {

// Read after the table has been walked, as they are taken over whole.
Result<void> note_messages(const json::value&, std::string_view, RequestDraft&) { return {}; }

Result<void> read_tools(const json::value& value, std::string_view, RequestDraft& draft) {
  draft.conversation().tools = TRY(openai::read_tools(value));
  return {};
}

Result<void> read_prompt(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.prompt = TRY(read_string(value, field));
  return {};
}

Result<void> read_system(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.system = TRY(read_string(value, field));
  return {};
}

Result<void> read_raw(const json::value& value, std::string_view field, RequestDraft& draft) {
  draft.raw = TRY(read_boolean(value, field));
  return {};
}

constexpr auto kRequired = FieldUse::kRequired;
constexpr auto kHonoured = FieldUse::kHonoured;
constexpr auto kInforms = FieldUse::kInforms;
constexpr auto kRefused = FieldUse::kRefused;

constexpr Meaning kFormat{"\"json\" or a JSON schema that the answer is to match; it is enforced.",
                          typed("'json'|''|object")};
constexpr Meaning kOptions{"How tokens are chosen, and how many.", open_object_of(option_infos)};
constexpr Meaning kThink{"Whether the model thinks before it answers, or how much.",
                         typed("boolean|'low'|'medium'|'high'|'max'")};
constexpr Meaning kStream{"Send the answer piece by piece, a line of JSON each.",
                          boolean().by_default("true")};
constexpr Meaning kNoWindow{"Accepted: a prompt that does not fit is always refused."};

constexpr Field<RequestDraft> kChatFields[] = {
    {"model", kRequired, read_as_openai<openai::read_model>, meaning::kModel},
    {"adapter", kHonoured, read_as_openai<openai::read_adapter>, meaning::kAdapter},
    {"messages",
     kHonoured,
     note_messages,
     {"The chat so far; none: the model is only loaded, or let go.", typed("OllamaMessage[]")}},
    {"tools", kHonoured, read_tools, meaning::kTools},
    {"format", kHonoured, read_format, kFormat},
    {"options", kHonoured, read_options, kOptions},
    {"think", kHonoured, read_think, kThink},
    {"stream", kHonoured, read_as_openai<openai::read_stream>, kStream},
    {"keep_alive", kHonoured, read_as_openai<openai::read_keep_alive>, meaning::kKeepAlive},
    {"logprobs", kHonoured, read_logprobs, meaning::kLogprobs},
    {"top_logprobs", kHonoured, read_top_logprobs, meaning::kTopLogprobs},
    {"cache_salt", kHonoured, read_as_openai<openai::read_cache_salt>, meaning::kCacheSalt},
    {"chat_template_kwargs", kHonoured, read_as_openai<openai::read_chat_template_kwargs>,
     meaning::kTemplateVariables},
    {"truncate", kInforms, nullptr, kNoWindow},
    {"shift", kInforms, nullptr, kNoWindow},
    {"_debug_render_only", kRefused, allow_nothing, meaning::kToRefuse},
};

constexpr Field<RequestDraft> kGenerateFields[] = {
    {"model", kRequired, read_as_openai<openai::read_model>, meaning::kModel},
    {"adapter", kHonoured, read_as_openai<openai::read_adapter>, meaning::kAdapter},
    {"prompt",
     kHonoured,
     read_prompt,
     {"What the model answers; none: it is only loaded, or let go.", text()}},
    {"system", kHonoured, read_system, {"The system prompt.", text()}},
    {"raw",
     kHonoured,
     read_raw,
     {"The prompt goes to the model as it stands, without its template.", boolean().by_default("false")}},
    {"format", kHonoured, read_format, kFormat},
    {"options", kHonoured, read_options, kOptions},
    {"think", kHonoured, read_think, kThink},
    {"stream", kHonoured, read_as_openai<openai::read_stream>, kStream},
    {"keep_alive", kHonoured, read_as_openai<openai::read_keep_alive>, meaning::kKeepAlive},
    {"logprobs", kHonoured, read_logprobs, meaning::kLogprobs},
    {"top_logprobs", kHonoured, read_top_logprobs, meaning::kTopLogprobs},
    {"cache_salt", kHonoured, read_as_openai<openai::read_cache_salt>, meaning::kCacheSalt},
    {"chat_template_kwargs", kHonoured, read_as_openai<openai::read_chat_template_kwargs>,
     meaning::kTemplateVariables},
    {"truncate", kInforms, nullptr, kNoWindow},
    {"shift", kInforms, nullptr, kNoWindow},
    {"suffix", kRefused, allow_nothing, meaning::kToRefuse},
    {"template", kRefused, allow_nothing, {kOwnTemplate}},
    {"context", kRefused, allow_nothing, {kNoContext}},
    {"images", kRefused, allow_nothing, {kTextOnly}},
    {"_debug_render_only", kRefused, allow_nothing, meaning::kToRefuse},
};

// The keys of a message that OpenAI's has by another name, or not.
Result<void> adapt_message(json::object& message, const std::string& path) {
  if (json::value* role = message.if_contains("role"); role != nullptr && role->is_string()) {
    for (char& c : role->get_string()) c = to_lower(c);
  }
  if (const json::value* images = message.if_contains("images")) {
    if (!images->is_null() && !(images->is_array() && images->get_array().empty()))
      return refused_field(path + ".images", "this model takes text only");
    message.erase("images");
  }
  if (const json::value* content = message.if_contains("content"); content == nullptr || content->is_null())
    message["content"] = "";
  const auto rename = [&message](const char* from, const char* to) {
    if (json::value* value = message.if_contains(from)) {
      json::value moved = std::move(*value);
      message.erase(from);
      message[to] = std::move(moved);
    }
  };
  rename("thinking", "reasoning_content");
  rename("tool_name", "name");
  return {};
}

// A prompt as it stands.
Result<void> take_raw(RequestDraft& draft) {
  if (!draft.system.empty())
    return refused_field("system", "raw: true takes the prompt as it is, put it there");
  if (draft.thinks) return refused_field("think", "raw: true takes the prompt as it is");
  if (draft.call().answer_grammar) return refused_field("format", "it is not guaranteed with raw: true yet");
  if (draft.call().conversation && draft.call().conversation->template_variables_json != "{}")
    return refused_field("chat_template_kwargs", "raw: true uses no template");
  draft.call().conversation.reset();
  draft.call().prompts.emplace_back(std::move(draft.prompt));
  return {};
}

}  // namespace

std::span<const Field<RequestDraft>> chat_fields() { return kChatFields; }
std::span<const Field<RequestDraft>> generate_fields() { return kGenerateFields; }

Result<std::vector<Message>> read_messages(json::value messages, bool strict) {
  if (json::array* list = messages.if_array()) {
    for (std::size_t i = 0; i < list->size(); ++i) {
      json::object* message = (*list)[i].if_object();
      if (message != nullptr) TRY(adapt_message(*message, "messages[" + std::to_string(i) + "]"));
    }
  }
  return openai::read_messages(messages, strict);
}

Result<GenerationCall> decode_chat_request(std::string_view body, bool strict, UnknownFields unknown) {
  json::object object = TRY(parse_request_object(body));
  RequestDraft draft = new_draft(strict, unknown);
  TRY(read_fields(object, chat_fields(), draft));
  TRY(check_common(draft));
  GenerationCall& call = draft.call();
  call.prompt_field = "messages";
  json::value* messages = object.if_contains("messages");
  if (messages == nullptr || messages->is_null() || (messages->is_array() && messages->get_array().empty())) {
    call.load_only = true;
    return std::move(call);
  }
  draft.conversation().messages = TRY(read_messages(std::move(*messages), strict));
  return std::move(call);
}

Result<GenerationCall> decode_generate_request(std::string_view body, bool strict, UnknownFields unknown) {
  const json::object object = TRY(parse_request_object(body));
  RequestDraft draft = new_draft(strict, unknown);
  TRY(read_fields(object, generate_fields(), draft));
  TRY(check_common(draft));
  GenerationCall& call = draft.call();
  call.prompt_field = "prompt";
  if (draft.prompt.empty()) {
    call.load_only = true;
    return std::move(call);
  }
  if (draft.raw) {
    TRY(take_raw(draft));
    return std::move(call);
  }
  Conversation& conversation = draft.conversation();
  if (!draft.system.empty())
    conversation.messages.push_back({.role = Role::kSystem, .content = std::move(draft.system)});
  conversation.messages.push_back({.role = Role::kUser, .content = std::move(draft.prompt)});
  return std::move(call);
}

}  // namespace mlxd::api::ollama
