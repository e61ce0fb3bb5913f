#include "text/template_messages.h"

#include <boost/json.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/fnv_hash.h"
#include "text/tool_prompt.h"

namespace mlxd {

namespace json = boost::json;

namespace {

constexpr std::size_t kShortIdSize = 9;
constexpr std::size_t kMaxDepth = 200;

json::parse_options deep_options() {
  json::parse_options options;
  options.max_depth = kMaxDepth;
  return options;
}

// The same id at the call and at its answer.
std::string short_id(const std::string& id) {
  static constexpr std::string_view kDigits =
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  if (id.size() == kShortIdSize && id.find_first_not_of(kDigits) == std::string::npos) return id;
  std::uint64_t hash = fnv_hash(id);
  std::string text;
  for (std::size_t i = 0; i < kShortIdSize; ++i, hash /= kDigits.size())
    text += kDigits[hash % kDigits.size()];
  return text;
}

/// The ids of a conversation's calls as the template wants them, the same at a call and at its answer.
class CallIds {
 public:
  explicit CallIds(const MessageRules& rules) : rules_(rules) {}

  std::string of_call(const ToolCall& call) {
    const std::int32_t index = num_calls_++;
    if (rules_.short_call_ids) return short_id(call.id);
    if (!rules_.call_ids_have_names) return call.id;
    const std::string prefix = "functions." + call.name + ":";
    const std::string id = call.id.starts_with(prefix) ? call.id : prefix + std::to_string(index);
    named_[call.id] = id;
    return id;
  }
  std::string of_result(const std::string& id) const {
    if (rules_.short_call_ids) return short_id(id);
    const auto found = named_.find(id);
    return found == named_.end() ? id : found->second;
  }

 private:
  const MessageRules& rules_;
  std::int32_t num_calls_ = 0;
  std::map<std::string, std::string> named_;
};

json::value arguments_of(const ToolCall& call, const MessageRules& rules) {
  if (rules.arguments_are_text) return json::string(call.arguments);
  json::error_code code;
  json::value parsed = json::parse(call.arguments, code, {}, deep_options());
  // What is no object stays as it was written.
  if (code || !parsed.is_object()) return json::string(call.arguments);
  return parsed;
}

json::array calls_of(const Message& message, const MessageRules& rules, CallIds& ids) {
  json::array calls;
  for (const ToolCall& call : message.tool_calls) {
    json::object object;
    const std::string id = ids.of_call(call);
    if (!id.empty()) object["id"] = id;
    object["type"] = "function";
    object["function"] =
        json::object{{"name", json::string(call.name)}, {"arguments", arguments_of(call, rules)}};
    calls.push_back(std::move(object));
  }
  return calls;
}

json::object to_json(const Message& message, const MessageRules& rules, CallIds& ids) {
  json::object object;
  object["role"] = to_string(message.role);
  object["content"] = message.content;
  const bool hides_reasoning =
      rules.reasoning_or_content && !message.tool_calls.empty() && !message.content.empty();
  if (!message.reasoning.empty() && !hides_reasoning) {
    // Templates call it by one of these names.
    object["reasoning_content"] = message.reasoning;
    object["thinking"] = message.reasoning;
  }
  if (!message.tool_calls.empty()) object["tool_calls"] = calls_of(message, rules, ids);
  if (!message.name.empty()) object["name"] = message.name;
  if (!message.tool_call_id.empty()) object["tool_call_id"] = ids.of_result(message.tool_call_id);
  if (!message.further_json.empty()) {
    json::error_code code;
    const json::value further = json::parse(message.further_json, code, {}, deep_options());
    if (const json::object* members = code ? nullptr : further.if_object()) {
      for (const auto& [key, value] : *members) object.emplace(key, value);
    }
  }
  return object;
}

void join(std::string& text, const std::string& more) {
  if (!text.empty() && !more.empty()) text += "\n\n";
  text += more;
}

std::vector<Message> adapted(std::span<const Message> messages, const MessageRules& rules) {
  std::vector<Message> result;
  std::string system;  // waits for the first user's message
  bool last_was_result = false;
  for (const Message& given : messages) {
    Message message = given;
    const bool is_result = message.role == Role::kTool;
    if (is_result && !rules.writes_results) {
      message.role = Role::kUser;
      message.content = tool_result_text(message.content);
      message.name.clear();
      message.tool_call_id.clear();
      if (last_was_result) {
        result.back().content += "\n" + message.content;
        continue;
      }
    }
    last_was_result = is_result && !rules.writes_results;
    if (!message.tool_calls.empty() && !rules.writes_calls) {
      for (const ToolCall& call : message.tool_calls) {
        if (!message.content.empty()) message.content += "\n";
        message.content += tool_call_text(call);
      }
      message.tool_calls.clear();
    }
    if (message.role == Role::kSystem && !rules.has_system_role) {
      join(system, message.content);
      continue;
    }
    if (!system.empty() && message.role == Role::kUser) {
      join(system, message.content);
      message.content = std::exchange(system, {});
    }
    if (!rules.takes_repeated_roles && !result.empty() && result.back().role == message.role &&
        message.role != Role::kTool) {
      join(result.back().content, message.content);
      auto& calls = result.back().tool_calls;
      calls.insert(calls.end(), message.tool_calls.begin(), message.tool_calls.end());
      continue;
    }
    result.push_back(std::move(message));
  }
  if (!system.empty()) result.push_back({.role = Role::kUser, .content = std::move(system)});
  return result;
}

}  // namespace

json::array template_messages(std::span<const Message> messages, const MessageRules& rules) {
  json::array list;
  CallIds ids(rules);
  for (const Message& message : adapted(messages, rules)) list.emplace_back(to_json(message, rules, ids));
  return list;
}

}  // namespace mlxd
