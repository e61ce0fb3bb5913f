#include "text/template_traits.h"

#include <algorithm>
#include <optional>
#include <string_view>

namespace mlxd {
namespace {

constexpr std::string_view kTools =
    R"([{"type":"function","function":{"name":"zq_tool","description":"zq_about","parameters":{"type":"object",)"
    R"("properties":{"zq_key":{"type":"string","description":"zq_what"}},"required":["zq_key"]}}}])";
constexpr std::string_view kUser = R"({"role":"user","content":"zq_asked"})";

/// Switches that published templates have, and the values worth trying.
struct KnownSwitch {
  std::string_view name;
  std::vector<std::string_view> values;
};
const std::vector<KnownSwitch>& known_switches() {
  static const std::vector<KnownSwitch> switches = {
      {"enable_thinking", {"true", "false"}},
      {"thinking", {"true", "false"}},
      {"reasoning_effort", {"\"none\"", "\"low\"", "\"medium\"", "\"high\""}},
      {"keep_past_thinking", {"true", "false"}},
      {"preserve_thinking", {"true", "false"}},
      {"clear_thinking", {"true", "false"}},
      {"thinking_budget", {"-1", "0", "512"}},
      {"add_vision_id", {"true", "false"}},
      {"builtin_tools", {}},
      {"documents", {}},
      {"date_string", {}},
      {"model_identity", {}},
      {"tools_in_user_message", {"true", "false"}},
  };
  return switches;
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

bool is_identifier_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/// As a word of its own that is no member of something.
bool names_variable(const std::string& source, std::string_view name) {
  for (std::size_t at = source.find(name); at != std::string::npos; at = source.find(name, at + 1)) {
    const char before = at > 0 ? source[at - 1] : ' ';
    const char after = at + name.size() < source.size() ? source[at + name.size()] : ' ';
    if (!is_identifier_byte(before) && before != '.' && before != '\'' && before != '"' &&
        !is_identifier_byte(after))
      return true;
  }
  return false;
}

class Trial {
 public:
  explicit Trial(const ChatTemplate& chat_template) : template_(chat_template) {}

  /// What the template makes of messages, or nothing if it refuses them.
  std::optional<std::string> operator()(const std::string& messages,
                                        const std::string& variables = "{}") const {
    auto text =
        template_.render_json("[" + messages + "]", {.add_generation_prompt = true, .extra_json = variables});
    if (!text) return std::nullopt;
    return text.take_value();
  }

 private:
  const ChatTemplate& template_;
};

std::string call_turn(std::string_view arguments, std::string_view id) {
  std::string text(kUser);
  text += R"(,{"role":"assistant","content":"","tool_calls":[{"id":")";
  text += id;
  text += R"(","type":"function","function":{"name":"zq_tool","arguments":)";
  text += arguments;
  return text + "}}]}";
}

std::string result_turn(std::string_view id) {
  std::string text = R"(,{"role":"tool","name":"zq_tool","tool_call_id":")";
  text += id;
  return text + R"(","content":"zq_result"})";
}

/// A call's arguments came out as JSON, not as Python prints them nor quoted twice.
bool writes_arguments(const std::optional<std::string>& text) {
  return text && has(*text, "zq_value") && !has(*text, "'zq_key'") && !has(*text, "\\\"zq_key");
}

void try_calls(const Trial& trial, TemplateTraits& traits) {
  constexpr std::string_view kObject = R"({"zq_key":"zq_value"})";
  constexpr std::string_view kText = R"("{\"zq_key\": \"zq_value\"}")";
  constexpr std::string_view kShortId = "zqCall001";
  constexpr std::string_view kLongId = "call_zq0123456789abcdef";
  const std::string variables = R"({"tools":)" + std::string(kTools) + "}";
  MessageRules& rules = traits.rules;
  // Without the declarations nothing but the call names its function.
  const auto bare = trial(call_turn(kObject, kLongId));
  rules.call_ids_have_names = bare && has(*bare, kLongId) && !has(*bare, "zq_tool");
  const auto complete = [&](std::string_view arguments, std::string_view id) {
    return trial(call_turn(arguments, id) + result_turn(id), variables);
  };
  for (const std::string_view id : {kLongId, kShortId}) {
    for (const std::string_view arguments : {kObject, kText}) {
      const auto text = complete(arguments, id);
      if (!writes_arguments(text)) continue;
      rules.short_call_ids = id == kShortId;
      rules.arguments_are_text = arguments == kText;
      rules.writes_results = has(*text, "zq_result");
      return;
    }
  }
  // Some write calls, but with arguments as Python prints them; that is how their models know them.
  for (const std::string_view id : {kLongId, kShortId}) {
    const auto text = complete(kObject, id);
    if (!text || !has(*text, "zq_value")) continue;
    rules.short_call_ids = id == kShortId;
    rules.writes_results = has(*text, "zq_result");
    return;
  }
  rules.writes_calls = false;
  rules.writes_results = false;
}

void try_switches(const Trial& trial, const std::string& source, TemplateTraits& traits) {
  // A turn with thoughts, an earlier one, tools: whatever a switch may touch.
  const std::string messages =
      std::string(kUser) + R"(,{"role":"assistant","content":"zq_said","reasoning_content":"zq_thought"},)" +
      std::string(kUser);
  const auto render = [&](const std::string& member) {
    return trial(messages, member.empty() ? "{}" : "{" + member + "}");
  };
  for (const KnownSwitch& known : known_switches()) {
    if (!names_variable(source, known.name)) continue;
    TemplateSwitch found{std::string(known.name), {}};
    const auto plain = render({});
    bool changes = known.values.empty();
    for (const std::string_view value : known.values) {
      const auto text = render("\"" + found.name + "\":" + std::string(value));
      if (!text) continue;
      if (text != plain)
        changes = true;
      else if (found.default_json.empty())
        found.default_json = value;
    }
    if (changes) traits.switches.push_back(std::move(found));
  }
}

}  // namespace

const TemplateSwitch* TemplateTraits::find_switch(std::string_view name) const {
  const auto found = std::find_if(switches.begin(), switches.end(),
                                  [&](const TemplateSwitch& each) { return each.name == name; });
  return found == switches.end() ? nullptr : &*found;
}

TemplateTraits find_traits(const ChatTemplate& chat_template) {
  const Trial trial(chat_template);
  TemplateTraits traits;
  const std::string system = R"({"role":"system","content":"zq_system"},)";
  const auto with_system = trial(system + std::string(kUser));
  traits.rules.has_system_role = with_system && has(*with_system, "zq_system");
  const auto repeated = trial(std::string(kUser) + R"(,{"role":"user","content":"zq_again"})");
  traits.rules.takes_repeated_roles = repeated && has(*repeated, "zq_asked") && has(*repeated, "zq_again");
  const auto with_tools = trial(std::string(kUser), R"({"tools":)" + std::string(kTools) + "}");
  traits.offers_tools = with_tools && has(*with_tools, "zq_tool");
  if (traits.offers_tools) {
    try_calls(trial, traits);
  } else {
    traits.rules.writes_calls = false;
    traits.rules.writes_results = false;
  }
  try_switches(trial, chat_template.source(), traits);
  return traits;
}

}  // namespace mlxd
