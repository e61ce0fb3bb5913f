// The messages of a request, and its system prompt.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cctype>
#include <map>
#include <span>
#include <string>
#include <utility>

#include "api/anthropic/block_id.h"
#include "api/anthropic/request_draft.h"
#include "api/field_reader.h"
#include "api/json_text.h"

namespace mlxd::api::anthropic {

namespace json = boost::json;

namespace {

constexpr std::string_view kMessageKeys[] = {"role", "content"};
constexpr std::string_view kBlockKeys[] = {"type",      "text",   "cache_control", "citations",   "id",
                                           "name",      "input",  "tool_use_id",   "content",     "is_error",
                                           "source",    "title",  "context",       "thinking",    "data",
                                           "signature", "caller", "tool_name",     "toolset_name"};

Result<const json::value*> required(const json::object& object, std::string_view key,
                                    const std::string& path) {
  if (const json::value* value = present(object, key)) return value;
  return missing_field(path + "." + std::string(key));
}

Result<std::string> required_string(const json::object& object, std::string_view key,
                                    const std::string& path) {
  return read_string(*TRY(required(object, key, path)), path + "." + std::string(key));
}

Result<void> check_keys(const json::object& object, std::span<const std::string_view> known,
                        const std::string& path) {
  for (const auto& [key, value] : object) {
    const std::string name(key);
    if (std::find(known.begin(), known.end(), name) == known.end())
      return invalid_argument("unknown key '" + name.substr(0, 60) + "' in " + path,
                              path + "." + name.substr(0, 60));
  }
  return {};
}

Error not_taken(const std::string& path, const std::string& what) {
  return {ErrorKind::kUnsupported, path + " " + what, path};
}

std::string indexed(const std::string& path, std::size_t i) { return path + "[" + std::to_string(i) + "]"; }

/// Reads blocks into messages.
class BlockReader {
 public:
  explicit BlockReader(bool strict) : strict_(strict) {}

  Result<std::vector<Message>> read(const json::value& messages);

 private:
  Result<void> read_message(const json::value& value, const std::string& path);
  Result<void> read_user(const json::value& content, const std::string& path);
  Result<void> read_assistant(const json::value& content, const std::string& path);
  Result<void> read_assistant_block(const json::object& block, const std::string& kind,
                                    const std::string& path, Message& message);
  /// The text of a block that a user, or a tool, may send.
  Result<std::string> read_text_block(const json::object& block, const std::string& kind,
                                      const std::string& path) const;
  Result<std::string> read_document(const json::object& block, const std::string& path) const;
  Result<std::string> read_search_result(const json::object& block, const std::string& path) const;
  /// A string, or blocks one after the other.
  Result<std::string> read_texts(const json::value& content, const std::string& path) const;
  Result<Message> read_tool_result(const json::object& block, const std::string& path) const;
  Result<const json::object*> block_of(const json::value& value, const std::string& path,
                                       std::string& kind) const;

  const bool strict_;
  std::vector<Message> messages_;
  std::map<std::string, std::string> names_;  // of the tools that calls named, by the calls' ids
};

Result<const json::object*> BlockReader::block_of(const json::value& value, const std::string& path,
                                                  std::string& kind) const {
  const json::object* block = TRY(read_object(value, path));
  kind = TRY(required_string(*block, "type", path));
  if (strict_) TRY(check_keys(*block, kBlockKeys, path));
  return block;
}

Result<std::string> BlockReader::read_texts(const json::value& content, const std::string& path) const {
  if (content.is_string()) return read_string(content, path);
  if (!content.is_array()) return wrong_type(content, path, "a string or a list of blocks");
  std::string text;
  const json::array& list = content.get_array();
  for (std::size_t i = 0; i < list.size(); ++i) {
    std::string kind;
    const json::object& block = *TRY(block_of(list[i], indexed(path, i), kind));
    text += TRY(read_text_block(block, kind, indexed(path, i)));
  }
  return text;
}

Result<std::string> BlockReader::read_text_block(const json::object& block, const std::string& kind,
                                                 const std::string& path) const {
  if (kind == "text") return required_string(block, "text", path);
  if (kind == "document") return read_document(block, path);
  if (kind == "search_result") return read_search_result(block, path);
  if (kind == "tool_reference") return required_string(block, "tool_name", path);
  if (kind == "image") return not_taken(path, "is an image: this model takes text only");
  return not_taken(path, "has the type '" + kind.substr(0, 40) + "', which is not supported here");
}

// As Anthropic advises to write documents into prompts.
Result<std::string> BlockReader::read_document(const json::object& block, const std::string& path) const {
  const std::string field = path + ".source";
  const json::object& source = *TRY(read_object(*TRY(required(block, "source", path)), field));
  const std::string kind = TRY(required_string(source, "type", field));
  std::string content;
  if (kind == "text")
    content = TRY(required_string(source, "data", field));
  else if (kind == "content")
    content = TRY(read_texts(*TRY(required(source, "content", field)), field + ".content"));
  else
    return not_taken(field + ".type",
                     "is '" + kind.substr(0, 40) + "': only documents of source text or content are taken");
  std::string text = "<document>\n";
  for (const char* key : {"title", "context"}) {
    const json::value* value = present(block, key);
    if (value == nullptr) continue;
    const std::string tag = key;
    text += "<" + tag + ">" + TRY(read_string(*value, path + "." + tag)) + "</" + tag + ">\n";
  }
  return text + "<document_content>\n" + content + "\n</document_content>\n</document>\n";
}

Result<std::string> BlockReader::read_search_result(const json::object& block,
                                                    const std::string& path) const {
  const std::string title = TRY(required_string(block, "title", path));
  const std::string source = TRY(required_string(block, "source", path));
  const std::string content = TRY(read_texts(*TRY(required(block, "content", path)), path + ".content"));
  return "<search_result>\n<title>" + title + "</title>\n<source>" + source + "</source>\n" + content +
         "\n</search_result>\n";
}

Result<Message> BlockReader::read_tool_result(const json::object& block, const std::string& path) const {
  Message message{.role = Role::kTool, .content = {}};
  message.tool_call_id = call_id_of(TRY(required_string(block, "tool_use_id", path)));
  if (const auto name = names_.find(message.tool_call_id); name != names_.end()) message.name = name->second;
  if (const json::value* content = present(block, "content"))
    message.content = TRY(read_texts(*content, path + ".content"));
  const json::value* is_error = present(block, "is_error");
  if (is_error == nullptr || !TRY(read_boolean(*is_error, path + ".is_error"))) return message;
  // Templates have no place for it. Agents mostly say it themselves.
  std::string beginning = message.content.substr(0, message.content.find_first_of(" :.\n"));
  std::transform(beginning.begin(), beginning.end(), beginning.begin(),
                 [](unsigned char c) { return c < 0x80 ? static_cast<char>(std::tolower(c)) : '?'; });
  if (beginning.find("error") == std::string::npos) message.content = "Error: " + message.content;
  return message;
}

// Results first: what answers a call follows it.
Result<void> BlockReader::read_user(const json::value& content, const std::string& path) {
  if (content.is_string()) {
    messages_.push_back({.role = Role::kUser, .content = TRY(read_string(content, path))});
    return {};
  }
  if (!content.is_array()) return wrong_type(content, path, "a string or a list of blocks");
  const json::array& list = content.get_array();
  std::string text;
  bool has_text = list.empty();
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string place = indexed(path, i);
    std::string kind;
    const json::object& block = *TRY(block_of(list[i], place, kind));
    if (kind == "tool_result") {
      messages_.push_back(TRY(read_tool_result(block, place)));
      continue;
    }
    has_text = true;
    text += TRY(read_text_block(block, kind, place));
  }
  if (has_text) messages_.push_back({.role = Role::kUser, .content = std::move(text)});
  return {};
}

Result<void> BlockReader::read_assistant_block(const json::object& block, const std::string& kind,
                                               const std::string& path, Message& message) {
  if (kind == "text") {
    message.content += TRY(required_string(block, "text", path));
  } else if (kind == "thinking") {
    message.reasoning += TRY(required_string(block, "thinking", path));
  } else if (kind == "redacted_thinking") {
    // Only who wrote it can read it.
  } else if (kind == "tool_use") {
    ToolCall call;
    call.id = call_id_of(TRY(required_string(block, "id", path)));
    call.name = TRY(required_string(block, "name", path));
    const json::value& input = *TRY(required(block, "input", path));
    append_json_value(call.arguments, json::value(*TRY(read_object(input, path + ".input"))));
    names_[call.id] = call.name;
    message.tool_calls.push_back(std::move(call));
  } else {
    return not_taken(
        path, "has the type '" + kind.substr(0, 40) + "', which is not supported in an assistant's message");
  }
  return {};
}

Result<void> BlockReader::read_assistant(const json::value& content, const std::string& path) {
  Message message{.role = Role::kAssistant, .content = {}};
  if (content.is_string()) {
    message.content = TRY(read_string(content, path));
  } else if (content.is_array()) {
    const json::array& list = content.get_array();
    for (std::size_t i = 0; i < list.size(); ++i) {
      std::string kind;
      const json::object& block = *TRY(block_of(list[i], indexed(path, i), kind));
      TRY(read_assistant_block(block, kind, indexed(path, i), message));
    }
  } else {
    return wrong_type(content, path, "a string or a list of blocks");
  }
  messages_.push_back(std::move(message));
  return {};
}

Result<void> BlockReader::read_message(const json::value& value, const std::string& path) {
  const json::object& object = *TRY(read_object(value, path));
  if (strict_) TRY(check_keys(object, kMessageKeys, path));
  const std::string role = TRY(required_string(object, "role", path));
  const json::value& content = *TRY(required(object, "content", path));
  if (role == "user") return read_user(content, path + ".content");
  if (role == "assistant") return read_assistant(content, path + ".content");
  if (role != "system")
    return invalid_argument(path + ".role is '" + role.substr(0, 40) + "', must be user, assistant or system",
                            path + ".role");
  std::string text = TRY(read_system_text(content, path + ".content"));
  // Later ones are no beginning of a conversation, which is all that many templates take a system message
  // for: they come as agents write such words into a user's.
  if (messages_.empty())
    messages_.push_back({.role = Role::kSystem, .content = std::move(text)});
  else
    messages_.push_back(
        {.role = Role::kUser, .content = "<system-reminder>\n" + text + "\n</system-reminder>"});
  return {};
}

Result<std::vector<Message>> BlockReader::read(const json::value& messages) {
  const json::array& list = *TRY(read_array(messages, "messages"));
  if (list.empty()) return invalid_argument("messages is empty, must have at least one message", "messages");
  for (std::size_t i = 0; i < list.size(); ++i) TRY(read_message(list[i], indexed("messages", i)));
  return std::move(messages_);
}

/// Without a line about billing at the beginning, and the line breaks that part it from the rest.
std::string_view without_billing_line(std::string_view text) {
  constexpr std::string_view kBilling = "x-anthropic-billing-header:";
  if (!text.starts_with(kBilling)) return text;
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return {};
  const std::size_t rest = text.find_first_not_of("\r\n", end);
  return rest == std::string_view::npos ? std::string_view() : text.substr(rest);
}

}  // namespace

Result<std::string> read_system_text(const json::value& value, std::string_view field) {
  if (value.is_string()) {
    const std::string text = TRY(read_string(value, field));
    return std::string(without_billing_line(text));
  }
  if (!value.is_array()) return wrong_type(value, field, "a string or a list of text blocks");
  std::string text;
  const json::array& list = value.get_array();
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string path = indexed(std::string(field), i);
    const json::object& block = *TRY(read_object(list[i], path));
    if (const std::string kind = TRY(required_string(block, "type", path)); kind != "text")
      return not_taken(path, "has the type '" + kind.substr(0, 40) + "', must be text");
    const std::string piece = TRY(required_string(block, "text", path));
    text += text.empty() ? without_billing_line(piece) : std::string_view(piece);
  }
  return text;
}

Result<std::vector<Message>> read_messages(const json::value& messages, bool strict) {
  return BlockReader(strict).read(messages);
}

}  // namespace mlxd::api::anthropic
