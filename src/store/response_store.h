// Answers of /v1/responses that are kept, each with the request's items; every caller's own. Thread rule: as
// Database, which must outlive this.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/database.h"

namespace mlxd {

/// Whose a response is. Neither: local programs', while there is no account.
struct ResponseOwner {
  std::optional<std::string> user_id = {};
  std::optional<std::string> key_id = {};  // of a key; then user_id is its user's

  bool operator==(const ResponseOwner&) const = default;
};

struct StoredResponse {
  std::string id;
  ResponseOwner owner = {};
  std::optional<std::string> previous_id = {};
  std::string input_json = "[]";     // the request's own items
  std::string response_json = "{}";  // as it was answered
  std::int64_t created_at = 0;       // seconds since 1970

  /// What it takes, about.
  std::int64_t bytes() const { return static_cast<std::int64_t>(input_json.size() + response_json.size()); }
};

/// Another owner's response is not found.
class ResponseStore {
 public:
  explicit ResponseStore(Database& database) : database_(database) {}

  /// All or none. A response whose owner is gone is left out.
  Result<void> add(std::span<const StoredResponse> responses);
  /// Errors: kNotFound.
  Result<StoredResponse> find(const ResponseOwner& owner, std::string_view id);
  /// Errors: kNotFound.
  Result<void> remove(const ResponseOwner& owner, std::string_view id);
  /// Removes what was made before `time`, but for what a later response builds on. Returns how many.
  Result<std::int64_t> remove_before(std::int64_t time);
  /// Of all owners' responses together.
  Result<std::int64_t> total_bytes();
  /// Removes the oldest, until the rest have at most `bytes`. Returns how many.
  Result<std::int64_t> remove_beyond(std::int64_t bytes);

 private:
  Database& database_;
};

}  // namespace mlxd
