#include "api/openai/response_items.h"

#include <algorithm>
#include <boost/json/object.hpp>
#include <iterator>
#include <map>
#include <utility>

#include "api/field_reader.h"
#include "api/json_text.h"
#include "api/openai/response_details.h"
#include "api/openai/text_argument.h"

namespace mlxd::api::openai {

namespace json = boost::json;

namespace {

std::string_view view(const json::string& text) { return {text.data(), text.size()}; }

Result<std::string> required_string(const json::object& object, std::string_view key,
                                    const std::string& path) {
  const std::string field = path + "." + std::string(key);
  const json::value* value = present(object, key);
  if (value == nullptr) return missing_field(field);
  return read_string(*value, field);
}

/// What may stand in an item of a type; others are refused if the server is strict.
struct ItemKeys {
  std::string_view type;
  std::string_view id_prefix;
  std::string_view keys;  // with spaces around each
};
constexpr ItemKeys kItems[] = {
    {"message", "msg_", " type id role content status phase "},
    {"function_call", "fc_", " type id call_id name arguments status caller namespace "},
    {"function_call_output", "fco_", " type id call_id output status caller "},
    {"custom_tool_call", "ctc_", " type id call_id name input status caller namespace "},
    {"custom_tool_call_output", "ctco_", " type id call_id output status caller "},
    {"reasoning", "rs_", " type id summary content encrypted_content status "},
    {"item_reference", "", " type id "},
};

/// Calls of tools that this program does not have, and what came of them.
constexpr std::string_view kForeign[] = {"web_search_call",
                                         "file_search_call",
                                         "computer_call",
                                         "computer_call_output",
                                         "code_interpreter_call",
                                         "image_generation_call",
                                         "local_shell_call",
                                         "local_shell_call_output",
                                         "shell_call",
                                         "shell_call_output",
                                         "apply_patch_call",
                                         "apply_patch_call_output",
                                         "mcp_list_tools",
                                         "mcp_approval_request",
                                         "mcp_approval_response",
                                         "mcp_call",
                                         "tool_search_call",
                                         "tool_search_output"};

const ItemKeys* find_item(std::string_view type) {
  const auto found = std::find_if(std::begin(kItems), std::end(kItems),
                                  [&](const ItemKeys& item) { return item.type == type; });
  return found == std::end(kItems) ? nullptr : &*found;
}

Result<std::string> read_part(const json::value& value, const std::string& path) {
  const json::object& part = *TRY(read_object(value, path));
  const std::string kind = TRY(required_string(part, "type", path));
  if (kind == "input_image" || kind == "input_file" || kind == "input_audio")
    return Error(ErrorKind::kUnsupported,
                 path + ".type is '" + kind + "', which is not supported: this model takes text only",
                 path + ".type");
  const bool is_text = kind == "input_text" || kind == "output_text" || kind == "text" ||
                       kind == "reasoning_text" || kind == "summary_text";
  if (!is_text && kind != "refusal")
    return invalid_argument(
        path + ".type is '" + kind.substr(0, 40) + "', must be input_text, output_text or refusal",
        path + ".type");
  return required_string(part, is_text ? "text" : "refusal", path);
}

// Text, or a list of parts.
Result<std::string> read_texts(const json::object& item, std::string_view key, const std::string& path) {
  const std::string field = path + "." + std::string(key);
  const json::value* value = present(item, key);
  if (value == nullptr) return missing_field(field);
  if (value->is_string()) return read_string(*value, field);
  if (!value->is_array()) return wrong_type(*value, field, "a string or a list of parts");
  std::string text;
  const json::array& parts = value->get_array();
  for (std::size_t i = 0; i < parts.size(); ++i)
    text += TRY(read_part(parts[i], field + "[" + std::to_string(i) + "]"));
  return text;
}

/// Puts items together into messages.
class ItemReader {
 public:
  ItemReader(const ItemsOptions& options, std::vector<std::string>& ignored)
      : options_(options), ignored_(ignored) {}

  Result<void> read(const json::value& value, const std::string& path) {
    const json::object& item = *TRY(read_object(value, path));
    const json::value* named = present(item, "type");
    const std::string type = named == nullptr ? "message" : TRY(read_string(*named, path + ".type"));
    if (std::find(std::begin(kForeign), std::end(kForeign), type) != std::end(kForeign)) {
      ignored_.push_back(path + " (" + type + ")");
      return {};
    }
    const ItemKeys* known = find_item(type);
    if (known == nullptr)
      return Error(ErrorKind::kUnsupported,
                   path + ".type is '" + type.substr(0, 40) + "', which is not supported: leave it out",
                   path + ".type");
    if (options_.strict) TRY(check_keys(item, *known, path));
    if (type == "message") return read_message(item, path);
    if (type == "reasoning") return read_reasoning(item, path);
    if (type == "function_call" || type == "custom_tool_call") return read_call(item, path, type);
    if (type == "item_reference") {
      TRY(required_string(item, "id", path));
      return {};
    }
    return read_output(item, path);
  }

  std::vector<Message> take() { return std::move(messages_); }

 private:
  static Result<void> check_keys(const json::object& item, const ItemKeys& known, const std::string& path) {
    for (const auto& [key, member] : item) {
      const std::string name(key);
      if (known.keys.find(" " + name + " ") == std::string_view::npos)
        return invalid_argument("unknown key '" + name.substr(0, 60) + "' in " + path,
                                path + "." + name.substr(0, 60));
    }
    return {};
  }

  /// The assistant's message that the next of its items goes on with.
  Message& assistant() {
    if (messages_.empty() || messages_.back().role != Role::kAssistant)
      messages_.push_back({.role = Role::kAssistant, .content = {}});
    return messages_.back();
  }

  Result<void> read_message(const json::object& item, const std::string& path) {
    auto role = parse_role(TRY(required_string(item, "role", path)));
    if (!role.ok() || *role == Role::kTool)
      return invalid_argument(
          path + ".role is " + shown(item.at("role")) + ", must be user, assistant, system or developer",
          path + ".role");
    std::string content = TRY(read_texts(item, "content", path));
    if (*role != Role::kAssistant) {
      messages_.push_back({.role = *role, .content = std::move(content)});
      return {};
    }
    // Content comes before calls.
    if (!assistant().tool_calls.empty() || !assistant().content.empty())
      messages_.push_back({.role = Role::kAssistant, .content = {}});
    messages_.back().content = std::move(content);
    return {};
  }

  Result<void> read_reasoning(const json::object& item, const std::string& path) {
    std::string text;
    if (present(item, "content") != nullptr) text = TRY(read_texts(item, "content", path));
    if (text.empty() && present(item, "summary") != nullptr) text = TRY(read_texts(item, "summary", path));
    if (const json::value* sealed = present(item, "encrypted_content"); sealed != nullptr && text.empty()) {
      std::string own = TRY(read_string(*sealed, path + ".encrypted_content"));
      if (own.starts_with(kReasoningMark))
        text = own.substr(kReasoningMark.size());
      else
        ignored_.push_back(path + ".encrypted_content");
    }
    if (text.empty()) return {};
    if (!assistant().tool_calls.empty() || !assistant().content.empty())
      messages_.push_back({.role = Role::kAssistant, .content = {}});
    std::string& reasoning = messages_.back().reasoning;
    reasoning += (reasoning.empty() ? "" : "\n") + text;
    return {};
  }

  Result<void> read_call(const json::object& item, const std::string& path, std::string_view type) {
    ToolCall call;
    call.id = TRY(required_string(item, "call_id", path));
    call.name = TRY(required_string(item, "name", path));
    if (type == "function_call") {
      call.arguments = TRY(required_string(item, "arguments", path));
      if (call.arguments.empty()) call.arguments = "{}";
    } else {
      call.arguments = "{\"" + std::string(kTextArgument) + "\": ";
      append_json_string(call.arguments, TRY(required_string(item, "input", path)));
      call.arguments += '}';
    }
    names_[call.id] = call.name;
    assistant().tool_calls.push_back(std::move(call));
    return {};
  }

  Result<void> read_output(const json::object& item, const std::string& path) {
    Message message{.role = Role::kTool, .content = {}};
    message.tool_call_id = TRY(required_string(item, "call_id", path));
    message.content = TRY(read_texts(item, "output", path));
    if (const auto name = names_.find(message.tool_call_id); name != names_.end())
      message.name = name->second;
    messages_.push_back(std::move(message));
    return {};
  }

  const ItemsOptions& options_;
  std::vector<std::string>& ignored_;
  std::vector<Message> messages_;
  std::map<std::string, std::string> names_;  // of calls by their ids
};

}  // namespace

std::string item_id(std::string_view prefix, std::string_view response, std::string_view item) {
  return std::string(prefix) + std::string(response) + "_" + std::string(item);
}

std::string response_of_item(std::string_view item_id) {
  const std::size_t begin = item_id.find('_');
  const std::size_t end = item_id.rfind('_');
  if (begin == std::string_view::npos || end <= begin + 1) return {};
  return "resp_" + std::string(item_id.substr(begin + 1, end - begin - 1));
}

Result<json::array> read_input(const json::value& input) {
  if (input.is_string())
    return json::array{json::object{
        {"type", "message"},
        {"role", "user"},
        {"content", json::array{json::object{{"type", "input_text"}, {"text", input.get_string()}}}}}};
  if (!input.is_array()) return wrong_type(input, "input", "a string or a list of items");
  json::array items = input.get_array();
  for (json::value& item : items) {
    json::object* object = item.if_object();
    if (object == nullptr) continue;  // said when it is read
    if (present(*object, "type") == nullptr) (*object)["type"] = "message";
    json::value* content = object->if_contains("content");
    if (object->at("type") != "message" || content == nullptr || !content->is_string()) continue;
    const json::value* role = object->if_contains("role");
    const bool from_model = role != nullptr && *role == "assistant";
    json::object part{{"type", from_model ? "output_text" : "input_text"}, {"text", *content}};
    if (from_model) part["annotations"] = json::array();
    *content = json::array{std::move(part)};
  }
  return items;
}

Result<std::vector<Message>> read_items(const json::array& items, const ItemsOptions& options,
                                        std::vector<std::string>& ignored) {
  ItemReader reader(options, ignored);
  for (std::size_t i = 0; i < items.size(); ++i)
    TRY(reader.read(items[i], options.path + "[" + std::to_string(i) + "]"));
  return reader.take();
}

void number_items(json::array& items, std::string_view response) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    json::object* item = items[i].if_object();
    if (item == nullptr) continue;
    const json::value* type = present(*item, "type");
    const ItemKeys* known =
        type == nullptr || !type->is_string() ? nullptr : find_item(view(type->get_string()));
    if (known != nullptr && present(*item, "status") == nullptr &&
        known->keys.find(" status ") != std::string_view::npos)
      (*item)["status"] = "completed";
    if (present(*item, "id") == nullptr)
      (*item)["id"] =
          item_id(known == nullptr ? "item_" : known->id_prefix, response, "in" + std::to_string(i));
  }
}

}  // namespace mlxd::api::openai
