// The gate that every route passes: finds out who asks, holds that against the route's row of the access
// table, and takes a key's place under its limits. Answers what it refuses itself. Works from memory, on I/O
// threads. Must outlive the routes' exchanges. Thread-safe.
#pragma once

#include <string>

#include "http/router.h"
#include "server/access_table.h"
#include "server/accounts.h"
#include "server/caller.h"
#include "server/key_meter.h"

namespace mlxd {

class AccessGate {
 public:
  AccessGate(const Accounts& accounts, KeyMeter& meter) : accounts_(accounts), meter_(meter) {}

  /// `route`'s handler behind the gate.
  http::Handler guard(const http::Route& route) const;

 private:
  void pass(const http::ExchangePtr& exchange, const AccessRule* rule, const http::Handler& handler) const;

  const Accounts& accounts_;
  KeyMeter& meter_;
};

/// The name of the session's cookie.
inline constexpr std::string_view kSessionCookie = "mlxd_session";

/// Whether `caller` may use a route of `need` at `path`; the error says what is missing: kUnauthorized if
/// credentials could help, else kForbidden.
Result<void> check_access(const Caller& caller, AccessNeed need, std::string_view path);

/// Whether a key may ask for a model by one of these names.
bool key_allows_model(const ApiKey& key, std::string_view asked, std::string_view found);

}  // namespace mlxd
