#include "store/key_store.h"

#include <algorithm>
#include <utility>

#include "store/sql.h"

namespace mlxd {
namespace {

// Names and paths have no line breaks; the API sees to that.
std::string join_lines(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : "\n") + part;
  return text;
}

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

KeyUsage read_usage(const Row& row) {
  return {.key_id = row.text(0),
          .month = row.integer(1),
          .requests = row.integer(2),
          .prompt_tokens = row.integer(3),
          .completion_tokens = row.integer(4)};
}

}  // namespace

Result<std::vector<ApiKey>> KeyStore::list() {
  return database_.read([](Sql& sql) -> Result<std::vector<ApiKey>> {
    return sql.list(
        "SELECT id, user_id, name, token_hash, hint, models, endpoints, cloud, admin, priority, cache_salt, "
        "requests_per_minute, tokens_per_minute, max_concurrent, tokens_per_month, created_at, expires_at, "
        "last_used_at FROM api_keys ORDER BY created_at, rowid",
        [](const Row& row) {
          return ApiKey{.id = row.text(0),
                        .user_id = row.text(1),
                        .name = row.text(2),
                        .token_hash = row.text(3),
                        .hint = row.text(4),
                        .models = split_lines(row.text(5)),
                        .endpoints = split_lines(row.text(6)),
                        .cloud = row.boolean(7),
                        .admin = row.boolean(8),
                        .priority = static_cast<Priority>(row.integer(9)),
                        .cache_salt = row.text(10),
                        .requests_per_minute = row.integer(11),
                        .tokens_per_minute = row.integer(12),
                        .max_concurrent = row.integer(13),
                        .tokens_per_month = row.integer(14),
                        .created_at = row.integer(15),
                        .expires_at = row.maybe_integer(16),
                        .last_used_at = row.maybe_integer(17)};
        });
  });
}

Result<void> KeyStore::create(const ApiKey& key) {
  return database_.write([&](Sql& sql) -> Result<void> {
    if (sql.number("SELECT COUNT(*) FROM users WHERE id = ?", key.user_id) == 0)
      return not_found("there is no user '" + key.user_id.substr(0, 100) + "'");
    sql.execute("INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", key.id,
                key.user_id, key.name, key.token_hash, key.hint, join_lines(key.models),
                join_lines(key.endpoints), key.cloud, key.admin, static_cast<int>(key.priority),
                key.cache_salt, key.requests_per_minute, key.tokens_per_minute, key.max_concurrent,
                key.tokens_per_month, key.created_at, key.expires_at, key.last_used_at);
    return {};
  });
}

Result<bool> KeyStore::remove(std::string_view id) {
  return database_.write(
      [&](Sql& sql) -> Result<bool> { return sql.execute("DELETE FROM api_keys WHERE id = ?", id) > 0; });
}

Result<void> KeyStore::add_usage(const std::vector<KeyUsage>& used, std::int64_t now_s) {
  return database_.write([&](Sql& sql) -> Result<void> {
    for (const KeyUsage& usage : used) {
      if (sql.execute("UPDATE api_keys SET last_used_at = ? WHERE id = ?", now_s, usage.key_id) == 0)
        continue;
      sql.execute(
          "INSERT INTO key_usage VALUES (?, ?, ?, ?, ?) ON CONFLICT (key_id, month) DO UPDATE SET "
          "requests = requests + excluded.requests, prompt_tokens = prompt_tokens + excluded.prompt_tokens, "
          "completion_tokens = completion_tokens + excluded.completion_tokens",
          usage.key_id, usage.month, usage.requests, usage.prompt_tokens, usage.completion_tokens);
    }
    return {};
  });
}

Result<std::vector<KeyUsage>> KeyStore::usage_of(std::string_view key_id) {
  return database_.read([&](Sql& sql) -> Result<std::vector<KeyUsage>> {
    return sql.list(
        "SELECT key_id, month, requests, prompt_tokens, completion_tokens FROM key_usage WHERE key_id = ? "
        "ORDER BY month DESC",
        read_usage, key_id);
  });
}

Result<std::vector<KeyUsage>> KeyStore::all_usage() {
  return database_.read([&](Sql& sql) -> Result<std::vector<KeyUsage>> {
    return sql.list("SELECT key_id, month, requests, prompt_tokens, completion_tokens FROM key_usage",
                    read_usage);
  });
}

}  // namespace mlxd
