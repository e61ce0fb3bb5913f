// Conversations kept for the web interface: trees of messages, in folders, each account's own. Thread rule:
// as Database, which must outlive this.
//
// Search reads the words with LIKE: an account's chats are a few megabytes, which takes milliseconds, and it
// finds parts of words in every script, which FTS5's tokenizers do not (Chinese and Japanese have no spaces,
// and three letters are the least that its trigrams find).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/database.h"

namespace mlxd {

struct ChatFolder {
  std::string id;
  std::string user_id;
  std::string name;
  std::int64_t created_at = 0;  // seconds since 1970, as all times here
};

struct Chat {
  std::string id;
  std::string user_id;
  std::optional<std::string> folder_id = {};
  std::string title;
  std::string model;
  bool pinned = false;
  std::optional<std::string> current_message = {};  // the leaf of the branch that was last looked at
  std::int64_t created_at = 0;
  std::int64_t changed_at = 0;
};

struct ChatMessage {
  std::string id;
  std::string chat_id;
  std::optional<std::string> parent_id = {};  // absent: a root
  std::string role;                           // "system", "user", "assistant", "tool"
  std::string text;                           // the words, which search reads
  std::string details = "{}";                 // a JSON object with all else
  std::int64_t created_at = 0;
};

/// Everything asks for the account: another's chat is not found.
class ChatStore {
 public:
  explicit ChatStore(Database& database) : database_(database) {}

  struct Query {
    std::string words;  // all of them, in the title or in one message; empty: all chats
    std::optional<std::string> folder_id = {};
    std::int64_t limit = 100;
    std::int64_t offset = 0;
  };
  /// Pinned ones first, then by last change.
  Result<std::vector<Chat>> list(std::string_view user_id, const Query& query);
  Result<Chat> find(std::string_view user_id, std::string_view id);
  /// By creation.
  Result<std::vector<ChatMessage>> messages(std::string_view user_id, std::string_view chat_id);
  /// Errors: kNotFound (the folder).
  Result<void> create(const Chat& chat);
  /// Replaces all but id, account and creation. Errors: kNotFound (the chat, the folder, the current
  /// message).
  Result<void> replace(const Chat& chat);
  Result<void> remove(std::string_view user_id, std::string_view id);

  /// Adds a message and makes it the current one. Errors: kNotFound (the chat, or a parent in it).
  Result<void> add_message(std::string_view user_id, const ChatMessage& message);
  /// With all that answers it; the current message becomes its parent if it was among them.
  Result<void> remove_message(std::string_view user_id, std::string_view chat_id, std::string_view id);

  Result<std::vector<ChatFolder>> folders(std::string_view user_id);
  Result<void> create_folder(const ChatFolder& folder);
  Result<void> rename_folder(std::string_view user_id, std::string_view id, std::string_view name);
  /// Its chats stay, in no folder.
  Result<void> remove_folder(std::string_view user_id, std::string_view id);

 private:
  Database& database_;
};

}  // namespace mlxd
