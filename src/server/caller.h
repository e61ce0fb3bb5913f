// Who a request comes from, as the access gate has found out. A value; constant once attached to an exchange.
#pragma once

#include <memory>
#include <string>

#include "http/exchange.h"
#include "store/key_store.h"
#include "store/user_store.h"

namespace mlxd {

class KeyUse;

struct Caller {
  enum class Kind {
    kNobody,   // no credentials, or a session that has ended
    kLocal,    // a program of this machine while there is no account yet: may generate, whatever key it sends
    kSetup,    // has the setup token: may make the first account and administer until then
    kOwner,    // has this server's own token, which lies in the state folder for its owner alone
    kSession,  // has logged in
    kKey,      // an API key
  };
  Kind kind = Kind::kNobody;
  std::shared_ptr<const User> user = {};   // of sessions and keys
  std::shared_ptr<const ApiKey> key = {};  // of keys
  std::string session_id = {};
  std::string csrf_token = {};  // of a session: pages send it back as X-CSRF-Token
  bool by_cookie = false;
  std::shared_ptr<KeyUse> use = {};  // of a key that generates: its place under the key's limits

  bool has_role(UserRole role) const { return user != nullptr && user->role == role; }
  bool administers() const {
    if (kind == Kind::kOwner || kind == Kind::kSetup) return true;
    if (kind == Kind::kKey && !key->admin) return false;
    return (kind == Kind::kSession || kind == Kind::kKey) && has_role(UserRole::kAdmin);
  }
  /// The account's id, or empty.
  std::string user_id() const { return user == nullptr ? std::string() : user->id; }
  /// For telling clients apart fairly; empty: by what the request itself says.
  std::string client_name() const {
    if (kind == Kind::kKey) return "key " + key->id;
    return kind == Kind::kSession ? "user " + user->id : std::string();
  }
};

/// Who asked; nobody before the gate.
const Caller& caller_of(const http::Exchange& exchange);

}  // namespace mlxd
