#include "text/chat_format.h"

#include <boost/json.hpp>
#include <utility>

#include "text/dialects/dialect_list.h"
#include "text/json_file.h"
#include "text/tool_prompt.h"

namespace mlxd {

namespace json = boost::json;

namespace {

using Start = dialects::OutputParser::Start;

/// For models that come without a template and whose tokenizer has these marks.
constexpr std::string_view kChatMl =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + "
    "'<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% "
    "endif %}";

std::string_view without_trailing_breaks(std::string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return text;
}

/// Whether the prompt's end has begun the model's reasoning.
Start start_after(std::string_view prompt, const dialects::ReasoningMarks& marks) {
  if (marks.open.empty()) return Start::kContent;
  const std::string_view open = without_trailing_breaks(marks.open);
  const std::string_view end = without_trailing_breaks(prompt);
  if (!end.ends_with(open)) return Start::kContent;
  return end.size() < prompt.size() ? Start::kReasoning : Start::kReasoningLineBreak;
}

/// Whether a template that has no switch for it lets its model reason.
bool reasons(const ChatTemplate& chat_template, const dialects::OutputFormat& format) {
  if (format.is_harmony) return true;
  const std::string_view open = without_trailing_breaks(format.reasoning.open);
  return !open.empty() && chat_template.source().find(open) != std::string_view::npos;
}

/// The members of an object's text, without its braces.
std::string members_of(const std::string& object) {
  const std::size_t open = object.find('{');
  const std::size_t close = object.rfind('}');
  if (open == std::string::npos || close == std::string::npos || close <= open) return {};
  const std::string inside = object.substr(open + 1, close - open - 1);
  return inside.find_first_not_of(" \t\r\n") == std::string::npos ? std::string() : inside;
}

std::string declarations(std::span<const Tool> tools) {
  std::string list = "[";
  for (const Tool& tool : tools) {
    if (list.size() > 1) list += ',';
    list += tool.declaration_json;
  }
  return list + "]";
}

void add_tool_prompt(std::vector<Message>& messages, std::span<const Tool> tools) {
  const std::string prompt = tool_prompt(tools);
  if (!messages.empty() && messages.front().role == Role::kSystem) {
    std::string& content = messages.front().content;
    content += content.empty() ? prompt : "\n\n" + prompt;
  } else {
    messages.insert(messages.begin(), Message{.role = Role::kSystem, .content = prompt});
  }
}

Error no_effort(const std::string& effort, const std::string& why) {
  return {ErrorKind::kUnsupported, "reasoning_effort '" + effort.substr(0, 40) + "' is not supported: " + why,
          "reasoning_effort"};
}

}  // namespace

Result<ChatFormat> ChatFormat::open(const std::filesystem::path& folder, const Tokenizer& tokenizer,
                                    Options options) {
  auto templates = ChatTemplate::open_all(folder);
  if (!templates && templates.error().kind == ErrorKind::kNotFound &&
      tokenizer.token_id("<|im_start|>") != kNoToken && tokenizer.token_id("<|im_end|>") != kNoToken) {
    std::map<std::string, ChatTemplate> fallback;
    fallback.emplace("default", TRY(ChatTemplate::parse(kChatMl, {})));
    templates = std::move(fallback);
  }
  if (!templates) return templates.take_error();
  const json::object config = TRY(read_json_file(folder / "config.json"));
  const json::value* type = config.if_contains("model_type");
  const std::string model_type =
      type != nullptr && type->is_string() ? std::string(type->get_string()) : std::string();
  auto format = create(templates.take_value(), model_type, folder.filename().string(), options);
  if (format) return format;
  Error error = format.take_error();
  error.message = folder.string() + ": " + error.message;
  return error;
}

Result<ChatFormat> ChatFormat::create(std::map<std::string, ChatTemplate> templates,
                                      std::string_view model_type, std::string_view folder_name,
                                      Options options) {
  ChatFormat format;
  format.options_ = options;
  const auto main = templates.find("default");
  if (main == templates.end()) return corrupt_data("chat_template has no entry named \"default\"");
  // Marks of tools may stand in the template for tools only.
  std::string sources = main->second.source();
  if (const auto with_tools = templates.find("tool_use"); with_tools != templates.end())
    sources += with_tools->second.source();
  format.family_ = &find_family(model_type, sources, folder_name);
  for (auto& [name, chat_template] : templates) {
    TemplateTraits traits = find_traits(chat_template);
    traits.rules.reasoning_or_content = format.family_->format.is_harmony;
    format.templates_.emplace(name, Template{std::move(chat_template), std::move(traits)});
  }
  return format;
}

const ChatFormat::Template& ChatFormat::template_for(const Conversation& conversation) const {
  const auto found = [&](const char* name) { return templates_.find(name); };
  if (found("rag") != templates_.end() &&
      conversation.template_variables_json.find("\"documents\"") != std::string::npos)
    return found("rag")->second;
  if (found("tool_use") != templates_.end() && !conversation.tools.empty()) return found("tool_use")->second;
  return found("default")->second;
}

// The template's own variable for how much to think, whatever it is called; with a comma.
Result<std::string> ChatFormat::effort_variables(const Conversation& conversation,
                                                 const Template& chosen) const {
  if (!conversation.reasoning_effort) return std::string();
  const TemplateTraits& traits = chosen.traits;
  const std::string& effort = *conversation.reasoning_effort;
  const bool is_none = effort == "none";
  const TemplateSwitch* levels = traits.find_switch("reasoning_effort");
  const TemplateSwitch* thinking = traits.find_switch("enable_thinking");
  if (thinking == nullptr) thinking = traits.find_switch("thinking");
  std::string variables;
  if (thinking != nullptr) variables = "\"" + thinking->name + "\":" + (is_none ? "false" : "true") + ",";
  if (is_none) {
    const bool thinks = family_->format.is_harmony;
    if (thinking == nullptr && thinks)
      return no_effort(effort, "this model always reasons: use low, medium or high");
    return variables;
  }
  if (effort == "on") {
    if (thinking != nullptr || levels != nullptr || reasons(chosen.chat_template, family_->format))
      return variables;
    return Error(ErrorKind::kUnsupported, "reasoning_effort is not supported: this model does not reason",
                 "reasoning_effort");
  }
  if (levels != nullptr) {
    const std::string level = effort == "minimal" ? "low" : effort == "xhigh" ? "high" : effort;
    return variables + "\"reasoning_effort\":" + json::serialize(json::string(level)) + ",";
  }
  if (thinking != nullptr) return variables;
  return no_effort(effort, "the model's template has no switch for it: leave it out");
}

Result<ChatFormat::Prompt> ChatFormat::write(const Conversation& conversation) const {
  const Template& chosen = template_for(conversation);
  Prompt prompt;
  prompt.format = family_->format;
  std::vector<Message> messages = conversation.messages;
  std::string variables = "{";
  if (!conversation.tools.empty()) {
    if (chosen.traits.offers_tools) {
      variables += "\"tools\":" + declarations(conversation.tools) + ",";
    } else if (options_.tool_prompt) {
      add_tool_prompt(messages, conversation.tools);
      prompt.format.tools = &dialects::hermes;
    } else {
      return Error(ErrorKind::kUnsupported,
                   "tools is not supported: the model's template knows no tools, and the tool prompt is off",
                   "tools");
    }
  }
  variables += TRY(effort_variables(conversation, chosen));
  variables += members_of(conversation.template_variables_json);
  if (variables.back() == ',') variables.pop_back();
  variables += '}';
  auto text = chosen.chat_template.render_json(
      json::serialize(template_messages(messages, chosen.traits.rules)), {.extra_json = variables});
  if (!text) return Error(text.error().kind, text.error().message, "messages");
  prompt.text = text.take_value();
  prompt.start = start_after(prompt.text, prompt.format.reasoning);
  if (conversation.reasoning_effort == "none" && prompt.start != Start::kContent)
    return no_effort("none", "this model always reasons");
  return prompt;
}

std::vector<TokenId> ChatFormat::end_tokens(const Tokenizer& tokenizer) const {
  std::vector<TokenId> tokens;
  for (const std::string_view name : family_->end_tokens) {
    const TokenId token = tokenizer.token_id(name);
    if (token != kNoToken) tokens.push_back(token);
  }
  return tokens;
}

}  // namespace mlxd
