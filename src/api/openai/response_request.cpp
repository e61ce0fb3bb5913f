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
  draft.has_input = true;
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
  sampling.top_logprobs = static_cast<std::int32_t>(TRY(read_integer(value, field, 0, 20)));
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

Result<void> read_reasoning(const json::value& value, std::string_view field, ResponseDraft& draft) {
  for (const auto& [key, entry] : *TRY(read_object(value, field))) {
    const std::string name(key);
    const std::string path = std::string(field) + "." + name.substr(0, 60);
    if (entry.is_null()) continue;
    if (name == "effort") {
      TRY(read_effort(entry, path, conversation(draft)));
    } else if (name == "summary" || name == "generate_summary") {
      const std::string kind = TRY(read_string(entry, path));
      if (kind != "auto" && kind != "concise" && kind != "detailed" && kind != "none")
        return invalid_argument(path + " is " + shown(entry) + ", must be auto, concise, detailed or none",
                                path);
      draft.own->summary = kind != "none";
    } else {
      return invalid_argument("unknown parameter '" + path + "': leave it out", path);
    }
  }
  return {};
}

Result<void> read_format(const json::value& value, const std::string& path, ResponseDraft& draft) {
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

Result<void> read_text(const json::value& value, std::string_view field, ResponseDraft& draft) {
  for (const auto& [key, entry] : *TRY(read_object(value, field))) {
    const std::string name(key);
    const std::string path = std::string(field) + "." + name.substr(0, 60);
    if (entry.is_null()) continue;
    if (name == "format") {
      TRY(read_format(entry, path, draft));
    } else if (name == "verbosity") {
      const std::string how = TRY(read_string(entry, path));
      if (how != "low" && how != "medium" && how != "high")
        return invalid_argument(path + " is " + shown(entry) + ", must be low, medium or high", path);
    } else {
      return invalid_argument("unknown parameter '" + path + "': leave it out", path);
    }
  }
  return {};
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
  draft.call.one_tool_call = !TRY(read_boolean(value, field));
  return {};
}

Result<void> read_truncation(const json::value& value, std::string_view field, ResponseDraft& draft) {
  const std::string how = TRY(read_string(value, field));
  if (how != "auto" && how != "disabled")
    return invalid_argument(std::string(field) + " is " + shown(value) + ", must be auto or disabled",
                            std::string(field));
  draft.call.drop_oldest = how == "auto";
  return {};
}

Result<void> read_stream_options(const json::value& value, std::string_view field, ResponseDraft& draft) {
  TRY(openai::read_stream_options(value, field, draft));
  if (!draft.call.include_usage) return {};
  return refused_field("stream_options.include_usage", "a response's last event always has its usage");
}

Result<void> allow_foreground(const json::value& value, std::string_view field, ResponseDraft&) {
  if (!TRY(read_boolean(value, field))) return {};
  return refused_field(field, "take stream: true, or send the request from another task");
}

constexpr auto kHonoured = FieldUse::kHonoured;
constexpr auto kInforms = FieldUse::kInforms;
constexpr auto kRefused = FieldUse::kRefused;

constexpr Field<ResponseDraft> kFields[] = {
    {"model", kHonoured, shared<read_model>},
    {"adapter", kHonoured, shared<read_adapter>},
    {"input", kHonoured, read_input_field},
    {"instructions", kHonoured, read_instructions},
    {"previous_response_id", kHonoured, read_previous},
    {"store", kHonoured, read_store},
    {"max_output_tokens", kHonoured, read_max_output_tokens},
    {"temperature", kHonoured, shared<read_temperature>},
    {"top_p", kHonoured, shared<read_top_p>},
    {"top_logprobs", kHonoured, read_top_logprobs},
    {"include", kHonoured, read_include},
    {"reasoning", kHonoured, read_reasoning},
    {"text", kHonoured, read_text},
    {"tools", kHonoured, read_tools_field},
    {"tool_choice", kHonoured, note_tool_choice},
    {"parallel_tool_calls", kHonoured, read_parallel_tool_calls},
    {"truncation", kHonoured, read_truncation},
    {"stream", kHonoured, shared<read_stream>},
    {"stream_options", kHonoured, read_stream_options},
    // Not OpenAI's here, but of its other routes or of this server.
    {"top_k", kHonoured, shared<read_top_k>},
    {"min_p", kHonoured, shared<read_min_p>},
    {"seed", kHonoured, shared<read_seed>},
    {"stop", kHonoured, shared<read_stop>},
    {"presence_penalty", kHonoured, shared<read_presence_penalty>},
    {"frequency_penalty", kHonoured, shared<read_frequency_penalty>},
    {"repetition_penalty", kHonoured, shared<read_repetition_penalty>},
    {"logit_bias", kHonoured, shared<read_logit_bias>},
    {"cache_salt", kHonoured, shared<read_cache_salt>},
    {"keep_alive", kHonoured, shared<read_keep_alive>},
    {"chat_template_kwargs", kHonoured, shared<read_chat_template_kwargs>},
    {"thinking_budget", kHonoured, shared<read_thinking_budget>},
    {"metadata", kInforms, read_metadata},
    {"user", kInforms},
    {"service_tier", kInforms},
    {"safety_identifier", kInforms},
    {"prompt_cache_key", kInforms},
    {"prompt_cache_retention", kInforms},
    {"prompt_cache_options", kInforms},
    {"client_metadata", kInforms},
    {"max_tool_calls", kInforms},  // of built-in tools, of which there are none
    {"background", kRefused, allow_foreground},
    {"conversation", kRefused, nullptr, "take previous_response_id, or send the items"},
    {"prompt", kRefused, nullptr, "send its text as instructions"},
    {"moderation", kRefused, nullptr, "leave it out"},
    {"context_management", kRefused, nullptr, "take truncation: auto"},
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

Result<GenerationCall> decode_response_request(std::string_view body, bool strict) {
  const json::object object = TRY(parse_request_object(body));
  ResponseDraft draft;
  TRY(read_fields(object, response_fields(), draft));
  TRY(check_common(draft));
  GenerationCall& call = draft.call;
  ResponseDetails& own = *draft.own;
  if (!draft.has_input) return missing_field("input");
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
