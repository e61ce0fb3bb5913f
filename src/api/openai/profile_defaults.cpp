#include "api/openai/profile_defaults.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <limits>

#include "api/field_reader.h"
#include "api/openai/request_fields.h"

namespace mlxd::api::openai {

namespace json = boost::json;

namespace {

constexpr auto kHonoured = FieldUse::kHonoured;

constexpr ValueShape kContext = count_from(1);

constexpr Field<RequestDraft> kFields[] = {
    {"system", kHonoured, nullptr, {"The system prompt of chats that have none.", text()}},
    {"template", kHonoured, nullptr, meaning::kTemplateVariables},
    {"context_tokens", kHonoured, nullptr, {"The most tokens of prompt and answer together.", kContext}},
    {"temperature", kHonoured, read_temperature, meaning::kTemperature},
    {"top_p", kHonoured, read_top_p, meaning::kTopP},
    {"top_k", kHonoured, read_top_k, meaning::kTopK},
    {"min_p", kHonoured, read_min_p, meaning::kMinP},
    {"seed", kHonoured, read_seed, meaning::kSeed},
    {"stop", kHonoured, read_stop, meaning::kStop},
    {"max_tokens", kHonoured, read_max_tokens, meaning::kMaxTokens},
    {"presence_penalty", kHonoured, read_presence_penalty, meaning::kPresencePenalty},
    {"frequency_penalty", kHonoured, read_frequency_penalty, meaning::kFrequencyPenalty},
    {"repetition_penalty", kHonoured, read_repetition_penalty, meaning::kRepetitionPenalty},
    {"logit_bias", kHonoured, read_logit_bias, meaning::kLogitBias},
};

json::object parse_object(std::string_view text) {
  auto object = parse_request_object(text);
  return object.ok() ? object.take_value() : json::object();
}

bool has_system(const json::array& messages) {
  return std::any_of(messages.begin(), messages.end(), [](const json::value& message) {
    const json::object* object = message.if_object();
    const json::value* role = object == nullptr ? nullptr : object->if_contains("role");
    return role != nullptr && (*role == "system" || *role == "developer");
  });
}

void add_system_message(json::object& request, const json::value& system) {
  json::value* messages = request.if_contains("messages");
  if (messages == nullptr || !messages->is_array()) return;
  json::array& list = messages->get_array();
  if (!has_system(list)) list.insert(list.begin(), json::object{{"role", "system"}, {"content", system}});
}

void add_instructions(json::object& request, const json::value& system) {
  const json::value* input = request.if_contains("input");
  const bool has_own = input != nullptr && input->is_array() && has_system(input->get_array());
  if (!has_own && present(request, "instructions") == nullptr) request["instructions"] = system;
}

void add_template_switches(json::object& request, const json::object& switches) {
  json::value& own = request["chat_template_kwargs"];
  if (own.is_null()) own = json::object();
  if (!own.is_object()) return;  // the decoder refuses it
  for (const auto& [key, value] : switches)
    if (!own.get_object().contains(key)) own.get_object().emplace(key, value);
}

}  // namespace

std::vector<FieldInfo> profile_default_infos() { return infos_of<RequestDraft>(kFields); }

Result<void> check_profile_defaults(const json::object& defaults) {
  RequestDraft draft;
  auto checked = read_fields<RequestDraft>(defaults, kFields, draft);
  if (checked.ok()) return {};
  Error error = checked.take_error();
  error.field = "defaults." + error.field;
  return error;
}

std::string with_profile_defaults(std::string_view body, const std::string& defaults_json, ProfileUse use) {
  auto parsed = parse_request_object(body);
  if (!parsed.ok()) return std::string(body);
  json::object request = parsed.take_value();
  const json::object defaults = parse_object(defaults_json);
  for (const auto& [key, value] : defaults) {
    if (key == "context_tokens") continue;
    if (key == "system") {
      if (use == ProfileUse::kChat) add_system_message(request, value);
      if (use == ProfileUse::kResponse) add_instructions(request, value);
    } else if (key == "template") {
      if (use != ProfileUse::kCompletion && value.is_object())
        add_template_switches(request, value.get_object());
    } else if (key == "max_tokens" && use == ProfileUse::kResponse) {
      if (present(request, "max_output_tokens") == nullptr) request["max_output_tokens"] = value;
    } else if (key == "max_tokens") {
      if (present(request, "max_tokens") == nullptr && present(request, "max_completion_tokens") == nullptr)
        request["max_tokens"] = value;
    } else if (present(request, std::string_view(key.data(), key.size())) == nullptr) {
      request[key] = value;
    }
  }
  return json::serialize(request);
}

std::string peek_model(std::string_view body) {
  const json::object request = parse_object(body);
  const json::value* model = request.if_contains("model");
  return model != nullptr && model->is_string() ? std::string(model->get_string()) : std::string();
}

std::int32_t profile_context_tokens(const std::string& defaults_json) {
  const json::object defaults = parse_object(defaults_json);
  const json::value* context = defaults.if_contains("context_tokens");
  if (context == nullptr) return 0;
  const auto number = read_int32(*context, "context_tokens");
  return number.ok() ? std::max(*number, 0) : 0;
}

}  // namespace mlxd::api::openai
