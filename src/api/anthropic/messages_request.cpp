#include "api/anthropic/messages_request.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <limits>
#include <utility>

#include "api/json_text.h"
#include "api/openai/chat_request.h"

namespace mlxd::api::anthropic {

namespace json = boost::json;

namespace {

/// A field that is read as OpenAI's requests have it.
template <auto read>
Result<void> as_openai(const json::value& value, std::string_view field, MessagesDraft& draft) {
  return read(value, field, draft.common);
}

// `strict` is known only to the caller, so messages are read after the table has been walked.
Result<void> note_messages(const json::value&, std::string_view, MessagesDraft& draft) {
  draft.has_messages = true;
  return {};
}

Result<void> read_system(const json::value& value, std::string_view field, MessagesDraft& draft) {
  draft.system = TRY(read_system_text(value, field));
  return {};
}

Result<void> read_temperature(const json::value& value, std::string_view field, MessagesDraft& draft) {
  draft.call().sampling.temperature = TRY(read_number(value, field, 0.0, 1.0));
  return {};
}

Result<void> read_stop_sequences(const json::value& value, std::string_view field, MessagesDraft& draft) {
  draft.call().stop_strings = TRY(openai::read_stop_strings(value, std::string(field)));
  return {};
}

Result<void> read_thinking(const json::value& value, std::string_view field, MessagesDraft& draft) {
  const std::string path(field);
  const json::object& thinking = *TRY(read_object(value, field));
  const json::value* type = thinking.if_contains("type");
  if (type == nullptr) return missing_field(path + ".type");
  const std::string kind = TRY(read_string(*type, path + ".type"));
  if (kind != "enabled" && kind != "adaptive" && kind != "between_tools" && kind != "disabled")
    return invalid_argument(path + ".type is " + shown(*type) + ", must be enabled, adaptive or disabled",
                            path + ".type");
  draft.call().reasoning_wish->thinks = kind != "disabled";
  if (const json::value* display = thinking.if_contains("display");
      display != nullptr && !display->is_null()) {
    const std::string how = TRY(read_string(*display, path + ".display"));
    if (how != "summarized" && how != "omitted")
      return invalid_argument(path + ".display is " + shown(*display) + ", must be summarized or omitted",
                              path + ".display");
    draft.call().hides_reasoning = how == "omitted";
  }
  const json::value* budget = thinking.if_contains("budget_tokens");
  if (kind != "enabled") return {};
  if (budget == nullptr || budget->is_null()) return missing_field(path + ".budget_tokens");
  draft.call().thinking_budget = static_cast<std::int32_t>(
      TRY(read_integer(*budget, path + ".budget_tokens", 1, std::numeric_limits<std::int32_t>::max())));
  return {};
}

Result<void> read_format(const json::value& value, std::string_view field, MessagesDraft& draft) {
  const std::string path(field);
  const json::object& format = *TRY(read_object(value, field));
  const json::value* type = format.if_contains("type");
  if (type == nullptr) return missing_field(path + ".type");
  if (TRY(read_string(*type, path + ".type")) != "json_schema")
    return invalid_argument(path + ".type is " + shown(*type) + ", must be json_schema", path + ".type");
  const json::value* schema = format.if_contains("schema");
  if (schema == nullptr) return missing_field(path + ".schema");
  TRY(openai::check_schema(*TRY(read_object(*schema, path + ".schema")), path + ".schema"));
  draft.call().answer_grammar.emplace();
  append_json_value(draft.call().answer_grammar->source, *schema);
  draft.call().grammar_field = path;
  return {};
}

Result<void> read_output_config(const json::value& value, std::string_view field, MessagesDraft& draft) {
  for (const auto& [key, entry] : *TRY(read_object(value, field))) {
    const std::string path = std::string(field) + "." + std::string(key).substr(0, 60);
    if (entry.is_null() || key == "task_budget") continue;  // which only tells a model how far it may go
    if (key == "format") {
      TRY(read_format(entry, path, draft));
      continue;
    }
    if (key != "effort") return invalid_argument("unknown parameter '" + path + "': leave it out", path);
    static constexpr std::string_view kEfforts[] = {"low", "medium", "high", "xhigh", "max"};
    const std::string effort = TRY(read_string(entry, path));
    if (std::find(std::begin(kEfforts), std::end(kEfforts), effort) == std::end(kEfforts))
      return invalid_argument(path + " is " + shown(entry) + ", must be low, medium, high, xhigh or max",
                              path);
    draft.call().reasoning_wish->effort = effort == "max" ? "xhigh" : effort;
  }
  return {};
}

Result<void> allow_empty_list(const json::value& value, std::string_view field, MessagesDraft&) {
  if (value.is_array() && value.get_array().empty()) return {};
  return refused_field(field, "use tools with an input_schema; leave it out");
}

constexpr auto kHonoured = FieldUse::kHonoured;
constexpr auto kInforms = FieldUse::kInforms;
constexpr auto kRefused = FieldUse::kRefused;

constexpr Field<MessagesDraft> kFields[] = {
    {"model", kHonoured, as_openai<openai::read_model>},
    {"messages", kHonoured, note_messages},
    {"system", kHonoured, read_system},
    {"max_tokens", kHonoured, as_openai<openai::read_max_tokens>},
    {"stop_sequences", kHonoured, read_stop_sequences},
    {"temperature", kHonoured, read_temperature},
    {"top_p", kHonoured, as_openai<openai::read_top_p>},
    {"top_k", kHonoured, as_openai<openai::read_top_k>},
    {"stream", kHonoured, as_openai<openai::read_stream>},
    {"tools", kHonoured, read_tools},
    {"tool_choice", kHonoured, read_tool_choice},
    {"thinking", kHonoured, read_thinking},
    {"output_config", kHonoured, read_output_config},
    {"output_format", kHonoured, read_format},
    // Not Anthropic's: what the other APIs have.
    {"adapter", kHonoured, as_openai<openai::read_adapter>},
    {"min_p", kHonoured, as_openai<openai::read_min_p>},
    {"seed", kHonoured, as_openai<openai::read_seed>},
    {"presence_penalty", kHonoured, as_openai<openai::read_presence_penalty>},
    {"frequency_penalty", kHonoured, as_openai<openai::read_frequency_penalty>},
    {"repetition_penalty", kHonoured, as_openai<openai::read_repetition_penalty>},
    {"logit_bias", kHonoured, as_openai<openai::read_logit_bias>},
    {"cache_salt", kHonoured, as_openai<openai::read_cache_salt>},
    {"keep_alive", kHonoured, as_openai<openai::read_keep_alive>},
    {"chat_template_kwargs", kHonoured, as_openai<openai::read_chat_template_kwargs>},
    {"metadata", kInforms},
    {"service_tier", kInforms},
    {"cache_control", kInforms},
    {"betas", kInforms},
    {"context_management", kInforms},
    {"compaction", kInforms},
    {"diagnostics", kInforms},
    {"inference_geo", kInforms},
    {"speed", kInforms},
    {"billing_policy", kInforms},
    {"fallbacks", kInforms},
    {"fallback_credit_token", kInforms},
    {"user_profile_id", kInforms},
    {"workspace_id", kInforms},
    {"mcp_servers", kRefused, allow_empty_list},
    {"container", kRefused, nullptr, "no code is run here; leave it out"},
    {"thread", kRefused, nullptr, "send the whole conversation in messages"},
};

// An assistant's message at the end is what the answer goes on from.
Result<void> take_answer_beginning(MessagesDraft& draft) {
  GenerationCall& call = draft.call();
  std::vector<Message>& messages = draft.conversation().messages;
  const Message& last = messages.back();
  if (last.role != Role::kAssistant) return {};
  const auto refused = [](const std::string& why) {
    return invalid_argument("messages ends with the assistant's, the beginning of the answer, " + why,
                            "messages");
  };
  if (messages.size() == 1) return refused("but has nothing before it");
  if (!last.tool_calls.empty()) return refused("which has a tool_use without its result");
  if (call.reasoning_wish->thinks == true) return refused("which is not taken together with thinking");
  if (call.answer_grammar) return refused("which is not taken together with " + call.grammar_field);
  if (draft.conversation().must_call)
    return refused("which is not taken together with a tool_choice that forces a call");
  if (!last.content.empty() &&
      std::string_view(" \t\r\n").find(last.content.back()) != std::string_view::npos)
    return refused("which must not end with white space");
  call.answer_beginning = last.content;
  messages.pop_back();
  return {};
}

json::object parse_object(std::string_view text) {
  auto object = parse_request_object(text);
  return object.ok() ? object.take_value() : json::object();
}

bool says(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && !value->is_null();
}

}  // namespace

std::span<const Field<MessagesDraft>> messages_fields() { return kFields; }

Result<GenerationCall> decode_messages_request(std::string_view body, bool strict, Purpose purpose) {
  const json::object object = TRY(parse_request_object(body));
  MessagesDraft draft;
  draft.call().reasoning_wish =
      ReasoningWish{.thinks = {}, .thinking_field = "thinking", .effort_field = "output_config.effort"};
  TRY(read_fields(object, messages_fields(), draft));
  TRY(openai::check_common(draft.common));
  if (!draft.has_messages) return missing_field("messages");
  GenerationCall& call = draft.call();
  if (call.max_tokens == 0 && purpose == Purpose::kAnswer) return missing_field("max_tokens");
  Conversation& conversation = draft.conversation();
  conversation.messages = TRY(read_messages(object.at("messages"), strict));
  TRY(take_answer_beginning(draft));
  if (!draft.system.empty()) {
    if (Message& first = conversation.messages.front(); first.role == Role::kSystem)
      first.content = draft.system + "\n\n" + first.content;
    else
      conversation.messages.insert(conversation.messages.begin(),
                                   Message{.role = Role::kSystem, .content = std::move(draft.system)});
  }
  TRY(check_tools(draft));
  if (draft.no_tools) conversation.tools.clear();
  call.prompt_field = "messages";
  return std::move(call);
}

std::string with_profile_defaults(std::string_view body, const std::string& defaults_json) {
  auto parsed = parse_request_object(body);
  if (!parsed.ok()) return std::string(body);
  json::object request = parsed.take_value();
  for (const auto& [key, value] : parse_object(defaults_json)) {
    if (key == "context_tokens") continue;
    if (key == "template") {
      json::value& own = request["chat_template_kwargs"];
      if (own.is_null()) own = json::object();
      if (!own.is_object() || !value.is_object()) continue;  // the decoder refuses it
      for (const auto& [name, setting] : value.get_object())
        if (!own.get_object().contains(name)) own.get_object().emplace(name, setting);
      continue;
    }
    const std::string name = key == "stop" ? "stop_sequences" : std::string(key);
    if (says(request, name)) continue;
    if (key == "stop" && value.is_string())
      request[name] = json::array{value};
    else if (key == "temperature" && value.is_number() && value.to_number<double>() > 1.0)
      request[name] = 1;
    else
      request[name] = value;
  }
  return json::serialize(request);
}

}  // namespace mlxd::api::anthropic
