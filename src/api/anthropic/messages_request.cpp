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

Result<void> read_messages_field(const json::value& value, std::string_view, MessagesDraft& draft) {
  draft.conversation().messages = TRY(read_messages(value, draft.common.strict));
  return {};
}

Result<void> read_system(const json::value& value, std::string_view field, MessagesDraft& draft) {
  draft.system = TRY(read_system_text(value, field));
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

Result<void> read_effort(const json::value& value, std::string_view field, MessagesDraft& draft) {
  const std::string effort = TRY(read_string(value, field));
  draft.call().reasoning_wish->effort = effort == "max" ? "xhigh" : effort;
  return {};
}

constexpr std::string_view kEfforts[] = {"low", "medium", "high", "xhigh", "max"};
constexpr Meaning kFormatMeaning{"A schema that the answer's text is to match; it is enforced.",
                                 typed("SchemaFormat")};
constexpr Field<MessagesDraft> kOutputFields[] = {
    {"format", FieldUse::kHonoured, read_format, kFormatMeaning},
    {"effort",
     FieldUse::kHonoured,
     read_effort,
     {"How much the model thinks; what it does not know is told in x-mlxd-ignored.", one_of(kEfforts)}},
    {"task_budget", FieldUse::kInforms, nullptr, meaning::kInformsOnly},
};

Result<void> read_output_config(const json::value& value, std::string_view field, MessagesDraft& draft) {
  return read_fields<MessagesDraft>(*TRY(read_object(value, field)), kOutputFields, draft, field);
}

constexpr std::string_view kNoServers = "use tools with an input_schema; leave it out";

Result<void> allow_empty_list(const json::value& value, std::string_view field, MessagesDraft&) {
  if (value.is_array() && value.get_array().empty()) return {};
  return refused_field(field, kNoServers);
}

constexpr auto kRequired = FieldUse::kRequired;
constexpr auto kHonoured = FieldUse::kHonoured;
constexpr auto kInforms = FieldUse::kInforms;
constexpr auto kRefused = FieldUse::kRefused;

constexpr Field<MessagesDraft> kFields[] = {
    {"model", kRequired, as_openai<openai::read_model>, meaning::kModel},
    {"messages",
     kRequired,
     read_messages_field,
     {"The chat so far; an assistant's message at the end is what the answer goes on from.",
      typed("MessageParam[]")}},
    {"system", kHonoured, read_system, {"The system prompt.", typed("string|TextBlock[]")}},
    {"max_tokens",
     kRequired,
     as_openai<openai::read_max_tokens>,
     {"The most tokens of the answer.", count_from(1)}},
    {"stop_sequences",
     kHonoured,
     read_stop_sequences,
     {"Texts that end the answer; they are not part of it.", typed("string[]")}},
    {"temperature",
     kHonoured,
     as_openai<openai::read_temperature>,
     {meaning::kTemperature.about, number(0.0, 1.0).by_default("1")}},
    {"top_p", kHonoured, as_openai<openai::read_top_p>, meaning::kTopP},
    {"top_k", kHonoured, as_openai<openai::read_top_k>, meaning::kTopK},
    {"stream", kHonoured, as_openai<openai::read_stream>, meaning::kStream},
    {"tools",
     kHonoured,
     read_tools,
     {"Tools that the model may call; those that Anthropic's servers run are told in x-mlxd-ignored.",
      typed("MessageTool[]")}},
    {"tool_choice",
     kHonoured,
     read_tool_choice,
     {"Whether tools are called: if the model wants, at least one, the named one, or none.",
      typed("ToolChoice")}},
    {"thinking",
     kHonoured,
     read_thinking,
     {"Whether the model thinks before it answers, and how long.", typed("Thinking")}},
    {"output_config", kHonoured, read_output_config, {"How the answer is made.", object_of([] {
                                                        return infos_of<MessagesDraft>(kOutputFields);
                                                      })}},
    {"output_format", kHonoured, read_format, kFormatMeaning},
    // Not Anthropic's: what the other APIs have.
    {"adapter", kHonoured, as_openai<openai::read_adapter>, meaning::kAdapter},
    {"min_p", kHonoured, as_openai<openai::read_min_p>, meaning::kMinP},
    {"seed", kHonoured, as_openai<openai::read_seed>, meaning::kSeed},
    {"presence_penalty", kHonoured, as_openai<openai::read_presence_penalty>, meaning::kPresencePenalty},
    {"frequency_penalty", kHonoured, as_openai<openai::read_frequency_penalty>, meaning::kFrequencyPenalty},
    {"repetition_penalty", kHonoured, as_openai<openai::read_repetition_penalty>,
     meaning::kRepetitionPenalty},
    {"max_tool_calls", kHonoured, as_openai<openai::read_max_tool_calls>, meaning::kMaxToolCalls},
    {"logit_bias", kHonoured, as_openai<openai::read_logit_bias>, meaning::kLogitBias},
    {"cache_salt", kHonoured, as_openai<openai::read_cache_salt>, meaning::kCacheSalt},
    {"keep_alive", kHonoured, as_openai<openai::read_keep_alive>, meaning::kKeepAlive},
    {"chat_template_kwargs", kHonoured, as_openai<openai::read_chat_template_kwargs>,
     meaning::kTemplateVariables},
    {"metadata", kInforms, nullptr, meaning::kInformsOnly},
    {"service_tier", kInforms, nullptr, meaning::kInformsOnly},
    {"cache_control", kInforms, nullptr, {"Prefixes are cached without being asked."}},
    {"betas", kInforms, nullptr, meaning::kInformsOnly},
    {"context_management", kInforms, nullptr, meaning::kInformsOnly},
    {"compaction", kInforms, nullptr, meaning::kInformsOnly},
    {"diagnostics", kInforms, nullptr, meaning::kInformsOnly},
    {"inference_geo", kInforms, nullptr, meaning::kInformsOnly},
    {"speed", kInforms, nullptr, meaning::kInformsOnly},
    {"billing_policy", kInforms, nullptr, meaning::kInformsOnly},
    {"fallbacks", kInforms, nullptr, meaning::kInformsOnly},
    {"fallback_credit_token", kInforms, nullptr, meaning::kInformsOnly},
    {"user_profile_id", kInforms, nullptr, meaning::kInformsOnly},
    {"workspace_id", kInforms, nullptr, meaning::kInformsOnly},
    {"mcp_servers", kRefused, allow_empty_list, {kNoServers}},
    {"container", kRefused, nullptr, {"no code is run here; leave it out"}},
    {"thread", kRefused, nullptr, {"send the whole conversation in messages"}},
};

// To count needs no ceiling.
std::vector<Field<MessagesDraft>> fields_to_count() {
  std::vector<Field<MessagesDraft>> fields(std::begin(kFields), std::end(kFields));
  for (Field<MessagesDraft>& field : fields)
    if (field.name == "max_tokens") field.use = kHonoured;
  return fields;
}

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

}  // namespace

std::span<const Field<MessagesDraft>> messages_fields(Purpose purpose) {
  static const std::vector<Field<MessagesDraft>> to_count = fields_to_count();
  if (purpose == Purpose::kCount) return to_count;
  return kFields;
}

Result<GenerationCall> decode_messages_request(std::string_view body, bool strict, Purpose purpose,
                                               UnknownFields unknown) {
  const json::object object = TRY(parse_request_object(body));
  MessagesDraft draft;
  draft.call().reasoning_wish =
      ReasoningWish{.thinks = {}, .thinking_field = "thinking", .effort_field = "output_config.effort"};
  draft.common.strict = strict;
  draft.common.unknown_fields = unknown;
  TRY(read_fields(object, messages_fields(purpose), draft));
  TRY(openai::check_common(draft.common));
  GenerationCall& call = draft.call();
  Conversation& conversation = draft.conversation();
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
    if (present(request, name) != nullptr) continue;
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
