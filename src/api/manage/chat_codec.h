// Chats, their messages and folders between JSON and the store's types. Pure functions.
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/field_shape.h"
#include "base/result.h"
#include "store/chat_store.h"

namespace mlxd::api::manage {

boost::json::object encode_chat(const Chat& chat);
boost::json::object encode_message(const ChatMessage& message);
boost::json::object encode_folder(const ChatFolder& folder);

std::vector<FieldInfo> chat_infos(), message_infos(), folder_infos();

/// A new chat, or what to change of one: `chat` has what was before.
Result<void> decode_chat(std::string_view body, Chat& chat);
/// Errors name the field. Id, chat and time are the caller's to set.
Result<ChatMessage> decode_message(std::string_view body);
/// {"name": …}
Result<std::string> decode_folder_name(std::string_view body);

}  // namespace mlxd::api::manage
