// API keys, what each may do, and what it has used. Tokens come here as hashes. Thread rule: as Database,
// which must outlive this.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "generation/generation_request.h"
#include "store/database.h"

namespace mlxd {

struct ApiKey {
  std::string id;
  std::string user_id;
  std::string name;
  std::string token_hash;
  std::string hint;  // the token's beginning, to tell keys apart

  /// Names of models, or their beginnings with "*" behind; empty: all.
  std::vector<std::string> models = {};
  /// Paths such as "/v1/chat/completions", with all beneath them; empty: all that generate.
  std::vector<std::string> endpoints = {};
  bool cloud = false;  // may be answered by a cloud provider
  bool admin = false;  // may do what its user may, not only generate
  Priority priority = Priority::kNormal;
  /// Cached prefixes are shared only between keys of the same salt.
  std::string cache_salt = {};

  // Limits; 0: none.
  std::int64_t requests_per_minute = 0;
  std::int64_t tokens_per_minute = 0;
  std::int64_t max_concurrent = 0;
  std::int64_t tokens_per_month = 0;  // of a calendar month in UTC

  std::int64_t created_at = 0;  // seconds since 1970, as all times here
  std::optional<std::int64_t> expires_at = {};
  std::optional<std::int64_t> last_used_at = {};
};

/// What a key has used in a month: year * 12 + month from 0, in UTC.
struct KeyUsage {
  std::string key_id;
  std::int64_t month = 0;
  std::int64_t requests = 0;
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
};

class KeyStore {
 public:
  explicit KeyStore(Database& database) : database_(database) {}

  /// By creation.
  Result<std::vector<ApiKey>> list();
  Result<void> create(const ApiKey& key);
  /// False if there was none.
  Result<bool> remove(std::string_view id);

  /// Adds to what was used, and notes when; of keys that are gone nothing is kept.
  Result<void> add_usage(const std::vector<KeyUsage>& used, std::int64_t now_s);
  /// Of one key, newest month first.
  Result<std::vector<KeyUsage>> usage_of(std::string_view key_id);
  /// Of all keys and months.
  Result<std::vector<KeyUsage>> all_usage();

 private:
  Database& database_;
};

}  // namespace mlxd
