#include "api/manage/chat_codec.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <utility>

#include "api/field_reader.h"

namespace mlxd::api::manage {

namespace json = boost::json;

namespace {

constexpr std::size_t kMaxNameBytes = 1000;

json::value text(std::string_view value) { return json::string(value.data(), value.size()); }
json::value text_or_null(const std::optional<std::string>& value) {
  return value ? text(*value) : json::value(nullptr);
}

Result<std::string> read_name(const json::value& value, std::string_view field) {
  std::string name = TRY(read_string(value, field));
  if (name.size() > kMaxNameBytes)
    return invalid_argument(std::string(field) + " has more than 1000 bytes", std::string(field));
  return name;
}

Result<void> read_title(const json::value& value, std::string_view field, Chat& chat) {
  chat.title = TRY(read_name(value, field));
  return {};
}
Result<void> read_model(const json::value& value, std::string_view field, Chat& chat) {
  chat.model = TRY(read_name(value, field));
  return {};
}
// Empty: in no folder. null leaves it where it is, as everywhere.
Result<void> read_folder(const json::value& value, std::string_view field, Chat& chat) {
  const std::string id = TRY(read_name(value, field));
  chat.folder_id = id.empty() ? std::nullopt : std::optional(id);
  return {};
}
Result<void> read_pinned(const json::value& value, std::string_view field, Chat& chat) {
  chat.pinned = TRY(read_boolean(value, field));
  return {};
}
Result<void> read_current(const json::value& value, std::string_view field, Chat& chat) {
  chat.current_message = TRY(read_name(value, field));
  return {};
}
constexpr Field<Chat> kChatFields[] = {
    {"title", FieldUse::kHonoured, read_title, {"What the chat is called.", mlxd::api::text()}},
    {"model", FieldUse::kHonoured, read_model, {"The model that it was last asked of.", mlxd::api::text()}},
    {"folder_id",
     FieldUse::kHonoured,
     read_folder,
     {"The folder it lies in; \"\": none.", mlxd::api::text()}},
    {"pinned", FieldUse::kHonoured, read_pinned, {"Whether it stands first.", boolean()}},
    {"current_message",
     FieldUse::kHonoured,
     read_current,
     {"The end of the branch that is shown.", mlxd::api::text()}},
};

Result<void> read_parent(const json::value& value, std::string_view field, ChatMessage& message) {
  message.parent_id = TRY(read_name(value, field));
  return {};
}
Result<void> read_role(const json::value& value, std::string_view field, ChatMessage& message) {
  message.role = TRY(read_string(value, field));
  return {};
}
Result<void> read_text(const json::value& value, std::string_view field, ChatMessage& message) {
  message.text = TRY(read_string(value, field));
  return {};
}
Result<void> read_details(const json::value& value, std::string_view field, ChatMessage& message) {
  message.details = json::serialize(*TRY(read_object(value, field)));
  return {};
}
constexpr std::string_view kRoles[] = {"system", "user", "assistant", "tool"};
constexpr Field<ChatMessage> kMessageFields[] = {
    {"parent_id",
     FieldUse::kHonoured,
     read_parent,
     {"The message before it; absent: it begins a branch.", mlxd::api::text()}},
    {"role", FieldUse::kRequired, read_role, {"Who says it.", one_of(kRoles)}},
    {"text", FieldUse::kRequired, read_text, {"What it says.", mlxd::api::text()}},
    {"details", FieldUse::kHonoured, read_details, {"What else the page keeps of it.", object_of()}},
};

Result<void> read_folder_name(const json::value& value, std::string_view field, std::string& name) {
  name = TRY(read_name(value, field));
  return {};
}
constexpr Field<std::string> kFolderFields[] = {
    {"name", FieldUse::kRequired, read_folder_name, {"What the folder is called.", mlxd::api::text()}}};

}  // namespace

json::object encode_chat(const Chat& chat) {
  return {{"id", text(chat.id)},           {"title", text(chat.title)},
          {"model", text(chat.model)},     {"folder_id", text_or_null(chat.folder_id)},
          {"pinned", chat.pinned},         {"current_message", text_or_null(chat.current_message)},
          {"created_at", chat.created_at}, {"changed_at", chat.changed_at}};
}

json::object encode_message(const ChatMessage& message) {
  json::error_code code;
  json::value details = json::parse(message.details, code);
  if (code) details = json::object();
  return {{"id", text(message.id)},        {"parent_id", text_or_null(message.parent_id)},
          {"role", text(message.role)},    {"text", text(message.text)},
          {"details", std::move(details)}, {"created_at", message.created_at}};
}

json::object encode_folder(const ChatFolder& folder) {
  return {{"id", text(folder.id)}, {"name", text(folder.name)}, {"created_at", folder.created_at}};
}

std::vector<FieldInfo> chat_infos() { return infos_of<Chat>(kChatFields); }
std::vector<FieldInfo> message_infos() { return infos_of<ChatMessage>(kMessageFields); }
std::vector<FieldInfo> folder_infos() { return infos_of<std::string>(kFolderFields); }

Result<void> decode_chat(std::string_view body, Chat& chat) {
  return read_fields<Chat>(TRY(parse_request_object(body)), kChatFields, chat);
}

Result<ChatMessage> decode_message(std::string_view body) {
  ChatMessage message;
  TRY(read_fields<ChatMessage>(TRY(parse_request_object(body)), kMessageFields, message));
  return message;
}

Result<std::string> decode_folder_name(std::string_view body) {
  std::string name;
  TRY(read_fields<std::string>(TRY(parse_request_object(body)), kFolderFields, name));
  if (name.empty()) return missing_field("name");
  return name;
}

}  // namespace mlxd::api::manage
