#include "store/chat_store.h"

#include <algorithm>
#include <array>
#include <utility>

#include "store/sql.h"

namespace mlxd {
namespace {

constexpr const char* kSelectChat =
    "SELECT id, user_id, folder_id, title, model, pinned, current_message, created_at, changed_at FROM chats "
    "WHERE user_id = ? AND id = ?";

std::optional<std::string> maybe_text(const Row& row, int column) {
  return row.is_null(column) ? std::nullopt : std::optional(row.text(column));
}

Chat read_chat(const Row& row) {
  return {.id = row.text(0),
          .user_id = row.text(1),
          .folder_id = maybe_text(row, 2),
          .title = row.text(3),
          .model = row.text(4),
          .pinned = row.boolean(5),
          .current_message = maybe_text(row, 6),
          .created_at = row.integer(7),
          .changed_at = row.integer(8)};
}

Error no_chat(std::string_view id) {
  return not_found("there is no chat '" + std::string(id.substr(0, 100)) + "'");
}

Result<Chat> find_chat(Sql& sql, std::string_view user_id, std::string_view id) {
  auto chat = sql.first(kSelectChat, read_chat, user_id, id);
  if (!chat) return no_chat(id);
  return std::move(*chat);
}

Result<void> check_folder(Sql& sql, const Chat& chat) {
  if (!chat.folder_id || sql.number("SELECT COUNT(*) FROM chat_folders WHERE id = ? AND user_id = ?",
                                    *chat.folder_id, chat.user_id) > 0)
    return {};
  return not_found("there is no folder '" + chat.folder_id->substr(0, 100) + "'");
}

Result<void> check_message(Sql& sql, std::string_view chat_id, const std::optional<std::string>& id) {
  if (!id || sql.number("SELECT COUNT(*) FROM chat_messages WHERE id = ? AND chat_id = ?", *id, chat_id) > 0)
    return {};
  return not_found("there is no message '" + id->substr(0, 100) + "' in this chat");
}

// "50%" finds "50%", not "50" and anything.
std::string like_pattern(std::string_view word) {
  std::string pattern = "%";
  for (const char c : word) {
    if (c == '%' || c == '_' || c == '\\') pattern += '\\';
    pattern += c;
  }
  return pattern + "%";
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    if (end > 0 && words.size() < 8) words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

}  // namespace

Result<std::vector<Chat>> ChatStore::list(std::string_view user_id, const Query& query) {
  return database_.read([&](Sql& sql) -> Result<std::vector<Chat>> {
    // Up to eight words, each bound once; those that are not there find everything.
    std::array<std::string, 8> patterns;
    patterns.fill("%");
    const std::vector<std::string> words = words_of(query.words);
    for (std::size_t i = 0; i < words.size(); ++i) patterns[i] = like_pattern(words[i]);
    const auto& p = patterns;
    return sql.list(
        "WITH texts (chat_id, text) AS ("
        "  SELECT id, title FROM chats WHERE user_id = ?1"
        "  UNION ALL SELECT chat_id, text FROM chat_messages JOIN chats ON chats.id = chat_id WHERE user_id "
        "= ?1) "
        "SELECT id, user_id, folder_id, title, model, pinned, current_message, created_at, changed_at FROM "
        "chats "
        "WHERE user_id = ?1 AND (?2 IS NULL OR folder_id = ?2) AND id IN (SELECT chat_id FROM texts WHERE "
        "text LIKE ?5 ESCAPE '\\' AND text LIKE ?6 ESCAPE '\\' AND text LIKE ?7 ESCAPE '\\' AND "
        "text LIKE ?8 ESCAPE '\\' AND text LIKE ?9 ESCAPE '\\' AND text LIKE ?10 ESCAPE '\\' AND "
        "text LIKE ?11 ESCAPE '\\' AND text LIKE ?12 ESCAPE '\\') "
        "ORDER BY pinned DESC, changed_at DESC, rowid DESC LIMIT ?3 OFFSET ?4",
        read_chat, user_id, query.folder_id, query.limit, query.offset, p[0], p[1], p[2], p[3], p[4], p[5],
        p[6], p[7]);
  });
}

Result<Chat> ChatStore::find(std::string_view user_id, std::string_view id) {
  return database_.read([&](Sql& sql) { return find_chat(sql, user_id, id); });
}

Result<std::vector<ChatMessage>> ChatStore::messages(std::string_view user_id, std::string_view chat_id) {
  return database_.read([&](Sql& sql) -> Result<std::vector<ChatMessage>> {
    TRY(find_chat(sql, user_id, chat_id));
    return sql.list(
        "SELECT id, chat_id, parent_id, role, text, details, created_at FROM chat_messages WHERE chat_id = ? "
        "ORDER BY created_at, rowid",
        [](const Row& row) {
          return ChatMessage{.id = row.text(0),
                             .chat_id = row.text(1),
                             .parent_id = maybe_text(row, 2),
                             .role = row.text(3),
                             .text = row.text(4),
                             .details = row.text(5),
                             .created_at = row.integer(6)};
        },
        chat_id);
  });
}

Result<void> ChatStore::create(const Chat& chat) {
  return database_.write([&](Sql& sql) -> Result<void> {
    TRY(check_folder(sql, chat));
    sql.execute("INSERT INTO chats VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", chat.id, chat.user_id, chat.folder_id,
                chat.title, chat.model, chat.pinned, chat.current_message, chat.created_at, chat.changed_at);
    return {};
  });
}

Result<void> ChatStore::replace(const Chat& chat) {
  return database_.write([&](Sql& sql) -> Result<void> {
    TRY(find_chat(sql, chat.user_id, chat.id));
    TRY(check_folder(sql, chat));
    TRY(check_message(sql, chat.id, chat.current_message));
    sql.execute(
        "UPDATE chats SET folder_id = ?, title = ?, model = ?, pinned = ?, current_message = ?, changed_at = "
        "? "
        "WHERE id = ?",
        chat.folder_id, chat.title, chat.model, chat.pinned, chat.current_message, chat.changed_at, chat.id);
    return {};
  });
}

Result<void> ChatStore::remove(std::string_view user_id, std::string_view id) {
  return database_.write([&](Sql& sql) -> Result<void> {
    if (sql.execute("DELETE FROM chats WHERE user_id = ? AND id = ?", user_id, id) == 0) return no_chat(id);
    return {};
  });
}

Result<void> ChatStore::add_message(std::string_view user_id, const ChatMessage& message) {
  return database_.write([&](Sql& sql) -> Result<void> {
    TRY(find_chat(sql, user_id, message.chat_id));
    TRY(check_message(sql, message.chat_id, message.parent_id));
    sql.execute("INSERT INTO chat_messages VALUES (?, ?, ?, ?, ?, ?, ?)", message.id, message.chat_id,
                message.parent_id, message.role, message.text, message.details, message.created_at);
    sql.execute("UPDATE chats SET current_message = ?, changed_at = ? WHERE id = ?", message.id,
                message.created_at, message.chat_id);
    return {};
  });
}

Result<void> ChatStore::remove_message(std::string_view user_id, std::string_view chat_id,
                                       std::string_view id) {
  return database_.write([&](Sql& sql) -> Result<void> {
    const Chat chat = TRY(find_chat(sql, user_id, chat_id));
    TRY(check_message(sql, chat_id, std::string(id)));
    const auto parent = sql.first(
        "SELECT parent_id FROM chat_messages WHERE id = ?", [](const Row& row) { return maybe_text(row, 0); },
        id);
    // Those that answer it go with it, by the table's own rule.
    sql.execute("DELETE FROM chat_messages WHERE id = ?", id);
    if (chat.current_message && !check_message(sql, chat_id, chat.current_message).ok()) {
      const std::optional<std::string> left = parent ? *parent : std::nullopt;
      sql.execute("UPDATE chats SET current_message = ? WHERE id = ?", left, chat_id);
    }
    return {};
  });
}

Result<std::vector<ChatFolder>> ChatStore::folders(std::string_view user_id) {
  return database_.read([&](Sql& sql) -> Result<std::vector<ChatFolder>> {
    return sql.list(
        "SELECT id, user_id, name, created_at FROM chat_folders WHERE user_id = ? ORDER BY name",
        [](const Row& row) {
          return ChatFolder{
              .id = row.text(0), .user_id = row.text(1), .name = row.text(2), .created_at = row.integer(3)};
        },
        user_id);
  });
}

Result<void> ChatStore::create_folder(const ChatFolder& folder) {
  return database_.write([&](Sql& sql) -> Result<void> {
    sql.execute("INSERT INTO chat_folders VALUES (?, ?, ?, ?)", folder.id, folder.user_id, folder.name,
                folder.created_at);
    return {};
  });
}

Result<void> ChatStore::rename_folder(std::string_view user_id, std::string_view id, std::string_view name) {
  return database_.write([&](Sql& sql) -> Result<void> {
    if (sql.execute("UPDATE chat_folders SET name = ? WHERE user_id = ? AND id = ?", name, user_id, id) == 0)
      return not_found("there is no folder '" + std::string(id.substr(0, 100)) + "'");
    return {};
  });
}

Result<void> ChatStore::remove_folder(std::string_view user_id, std::string_view id) {
  return database_.write([&](Sql& sql) -> Result<void> {
    if (sql.execute("DELETE FROM chat_folders WHERE user_id = ? AND id = ?", user_id, id) == 0)
      return not_found("there is no folder '" + std::string(id.substr(0, 100)) + "'");
    return {};
  });
}

}  // namespace mlxd
