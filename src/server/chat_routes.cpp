#include "server/chat_routes.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <optional>
#include <utility>

#include "api/manage/chat_codec.h"
#include "security/token.h"
#include "server/query_values.h"

namespace mlxd {
namespace {

namespace json = boost::json;
namespace manage = api::manage;

constexpr std::size_t kMaxMessageBytes = std::size_t{32} << 20U;  // pictures are part of messages
constexpr std::int64_t kMostChats = 500;

std::string new_id(const char* kind) { return std::string(kind) + "_" + random_token(12); }

Result<ManageAnswer> list_chats(ChatStore store, const http::Request& request, const Caller& caller) {
  ChatStore::Query query;
  query.words = TRY(query_value(request.query, "q")).value_or("");
  query.folder_id = TRY(query_value(request.query, "folder"));
  query.limit = TRY(query_number(request.query, "limit", 100, kMostChats));
  query.offset = TRY(query_number(request.query, "offset", 0, 1'000'000'000));
  const std::vector<Chat> found = TRY(store.list(caller.user_id(), query));
  json::array chats;
  for (const Chat& chat : found) chats.push_back(manage::encode_chat(chat));
  return ManageAnswer{.body = json::object{{"chats", std::move(chats)}}};
}

Result<ManageAnswer> create_chat(ChatStore store, const http::Request& request, const Caller& caller,
                                 std::int64_t now_s) {
  Chat chat;
  TRY(manage::decode_chat(request.body, chat));
  chat.id = new_id("chat");
  chat.user_id = caller.user_id();
  chat.current_message.reset();
  chat.created_at = chat.changed_at = now_s;
  TRY(store.create(chat));
  return ManageAnswer{.status = 201, .body = manage::encode_chat(chat)};
}

Result<ManageAnswer> show_chat(ChatStore store, const http::Request& request, const Caller& caller) {
  const std::string id(request.parameter("id"));
  json::object body = manage::encode_chat(TRY(store.find(caller.user_id(), id)));
  const std::vector<ChatMessage> found = TRY(store.messages(caller.user_id(), id));
  json::array messages;
  for (const ChatMessage& message : found) messages.push_back(manage::encode_message(message));
  body["messages"] = std::move(messages);
  return ManageAnswer{.body = std::move(body)};
}

Result<ManageAnswer> change_chat(ChatStore store, const http::Request& request, const Caller& caller,
                                 std::int64_t now_s) {
  Chat chat = TRY(store.find(caller.user_id(), request.parameter("id")));
  TRY(manage::decode_chat(request.body, chat));
  chat.changed_at = now_s;
  TRY(store.replace(chat));
  return ManageAnswer{.body = manage::encode_chat(chat)};
}

Result<ManageAnswer> add_message(ChatStore store, const http::Request& request, const Caller& caller,
                                 std::int64_t now_s) {
  ChatMessage message = TRY(manage::decode_message(request.body));
  message.id = new_id("message");
  message.chat_id = request.parameter("id");
  message.created_at = now_s;
  TRY(store.add_message(caller.user_id(), message));
  return ManageAnswer{.status = 201, .body = manage::encode_message(message)};
}

}  // namespace

void add_chat_routes(ManageRoutes& routes, const ChatStore& store, const Clock& clock) {
  routes.add("GET", "/api/v1/chats", [store](const http::Request& request, const Caller& caller) {
    return list_chats(store, request, caller);
  });
  routes.add("POST", "/api/v1/chats", [store, &clock](const http::Request& request, const Caller& caller) {
    return create_chat(store, request, caller, clock.wall_seconds());
  });
  routes.add("GET", "/api/v1/chats/{id}", [store](const http::Request& request, const Caller& caller) {
    return show_chat(store, request, caller);
  });
  routes.add("PATCH", "/api/v1/chats/{id}",
             [store, &clock](const http::Request& request, const Caller& caller) {
               return change_chat(store, request, caller, clock.wall_seconds());
             });
  routes.add("DELETE", "/api/v1/chats/{id}",
             [store](const http::Request& request, const Caller& caller) -> Result<ManageAnswer> {
               ChatStore own = store;
               TRY(own.remove(caller.user_id(), request.parameter("id")));
               return ManageAnswer{.status = 204};
             });
  routes.add(
      "POST", "/api/v1/chats/{id}/messages",
      [store, &clock](const http::Request& request, const Caller& caller) {
        return add_message(store, request, caller, clock.wall_seconds());
      },
      kMaxMessageBytes);
  routes.add(
      "DELETE", "/api/v1/chats/{id}/messages/{message}",
      [store](const http::Request& request, const Caller& caller) -> Result<ManageAnswer> {
        ChatStore own = store;
        TRY(own.remove_message(caller.user_id(), request.parameter("id"), request.parameter("message")));
        return ManageAnswer{.status = 204};
      });
  routes.add("GET", "/api/v1/chat-folders",
             [store](const http::Request&, const Caller& caller) -> Result<ManageAnswer> {
               ChatStore own = store;
               const std::vector<ChatFolder> found = TRY(own.folders(caller.user_id()));
               json::array folders;
               for (const ChatFolder& folder : found) folders.push_back(manage::encode_folder(folder));
               return ManageAnswer{.body = json::object{{"folders", std::move(folders)}}};
             });
  routes.add("POST", "/api/v1/chat-folders",
             [store, &clock](const http::Request& request, const Caller& caller) -> Result<ManageAnswer> {
               ChatStore own = store;
               std::string name = TRY(manage::decode_folder_name(request.body));
               const ChatFolder folder{.id = new_id("folder"),
                                       .user_id = caller.user_id(),
                                       .name = std::move(name),
                                       .created_at = clock.wall_seconds()};
               TRY(own.create_folder(folder));
               return ManageAnswer{.status = 201, .body = manage::encode_folder(folder)};
             });
  routes.add("PATCH", "/api/v1/chat-folders/{id}",
             [store](const http::Request& request, const Caller& caller) -> Result<ManageAnswer> {
               ChatStore own = store;
               TRY(own.rename_folder(caller.user_id(), request.parameter("id"),
                                     TRY(manage::decode_folder_name(request.body))));
               return ManageAnswer{.status = 204};
             });
  routes.add("DELETE", "/api/v1/chat-folders/{id}",
             [store](const http::Request& request, const Caller& caller) -> Result<ManageAnswer> {
               ChatStore own = store;
               TRY(own.remove_folder(caller.user_id(), request.parameter("id")));
               return ManageAnswer{.status = 204};
             });
}

}  // namespace mlxd
