#include "server/accounts.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "base/log.h"
#include "security/password.h"
#include "security/private_file.h"
#include "security/token.h"

namespace mlxd {
namespace {

constexpr std::size_t kTokenBytes = 32;
constexpr std::size_t kIdBytes = 9;
constexpr std::string_view kKeyPrefix = "mlxd-";
constexpr std::size_t kHintBytes = 12;
constexpr std::size_t kMaxNameBytes = 200;

std::string new_id(std::string_view kind) { return std::string(kind) + "_" + random_token(kIdBytes); }

bool has_control_characters(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

// What tells an address from a slip; whether it exists is not our business.
Result<void> check_email(const std::string& email) {
  const std::size_t at = email.find('@');
  if (at == std::string::npos || at == 0 || at + 1 == email.size() || email.size() > 254 ||
      email.find(' ') != std::string::npos || has_control_characters(email))
    return invalid_argument("'" + email.substr(0, 100) + "' is no e-mail address", "email");
  return {};
}

Result<void> check_name(const std::string& name) {
  if (name.size() > kMaxNameBytes || has_control_characters(name))
    return invalid_argument("a name has at most 200 bytes and no control characters", "name");
  return {};
}

// A header may have any bytes; what is listed later is text.
std::string printable(std::string_view text) {
  std::string clean(text.substr(0, 200));
  for (char& c : clean)
    if (c < 0x20 || c > 0x7E) c = '?';
  return clean;
}

Error unknown_token() {
  return {ErrorKind::kUnauthorized,
          "this key or session is not known here, or has ended: make a key with 'mlxd key create' or log in"};
}

bool same_text(std::string_view a, std::string_view b) { return http::equals_ignoring_case(a, b); }

}  // namespace

Accounts::Accounts(Options options)
    : options_(std::move(options)),
      user_store_(*options_.database),
      key_store_(*options_.database),
      throttle_(*options_.clock),
      directory_(std::make_shared<const Directory>()) {}

Result<std::unique_ptr<Accounts>> Accounts::open(Options options) {
  auto accounts = std::unique_ptr<Accounts>(new Accounts(std::move(options)));
  TRY(accounts->refresh());
  TRY(accounts->prepare_setup());
  if (accounts->options_.meter != nullptr)
    accounts->options_.meter->load(TRY(accounts->key_store_.all_usage()));
  return accounts;
}

Result<void> Accounts::prepare_setup() {
  const std::filesystem::path& file = options_.setup_token_file;
  if (has_users()) {
    std::error_code ignored;
    if (!file.empty()) std::filesystem::remove(file, ignored);
    return {};
  }
  std::string token;
  struct stat facts {};
  // One that others could have read is worth nothing.
  if (!file.empty() && ::stat(file.c_str(), &facts) == 0 && (facts.st_mode & 0077U) == 0) {
    std::ifstream stream(file);
    std::getline(stream, token);
  }
  if (token.size() < kTokenBytes) {
    token = random_token(kTokenBytes);
    if (!file.empty()) TRY(write_private_file(file, token + "\n"));
  }
  const MutexLock lock(mutex_);
  setup_token_ = std::move(token);
  return {};
}

// What is read after num_writes was asked has all those writes; a slower reader never replaces a later state.
Result<void> Accounts::refresh() {
  auto fresh = std::make_shared<Directory>();
  fresh->num_writes = options_.database->num_writes();
  std::vector<User> users = TRY(user_store_.list());
  std::vector<Session> sessions = TRY(user_store_.sessions(now_s()));
  std::vector<ApiKey> keys = TRY(key_store_.list());
  for (User& user : users) {
    auto shared = std::make_shared<const User>(std::move(user));
    fresh->users_by_id.emplace(shared->id, shared);
    fresh->users.push_back(std::move(shared));
  }
  for (Session& session : sessions) {
    const std::string hash = session.token_hash;
    fresh->sessions_by_hash.emplace(hash, std::move(session));
  }
  for (ApiKey& key : keys) {
    auto shared = std::make_shared<const ApiKey>(std::move(key));
    fresh->keys_by_hash.emplace(shared->token_hash, shared);
    fresh->keys.push_back(std::move(shared));
  }
  const bool settled = !fresh->users.empty();
  {
    const MutexLock lock(mutex_);
    if (fresh->num_writes < directory_->num_writes) return {};
    directory_ = std::move(fresh);
    if (!settled || setup_token_.empty()) return {};
    setup_token_.clear();
  }
  std::error_code ignored;
  if (!options_.setup_token_file.empty()) std::filesystem::remove(options_.setup_token_file, ignored);
  return {};
}

Accounts::DirectoryPtr Accounts::directory() const {
  const MutexLock lock(mutex_);
  return directory_;
}

bool Accounts::has_users() const { return !directory()->users.empty(); }
bool Accounts::is_open() const { return options_.loopback && !has_users(); }

std::string Accounts::setup_token() const {
  const MutexLock lock(mutex_);
  return setup_token_;
}

Result<Caller> Accounts::identify(std::string_view bearer, std::string_view cookie) const {
  const DirectoryPtr all = directory();
  const bool open = options_.loopback && all->users.empty();
  Caller caller;
  const auto find_session = [&](std::string_view token) {
    const auto session = all->sessions_by_hash.find(token_hash(token));
    if (session == all->sessions_by_hash.end() || session->second.expires_at <= now_s()) return false;
    const auto user = all->users_by_id.find(session->second.user_id);
    if (user == all->users_by_id.end() || user->second->status != UserStatus::kActive) return false;
    caller.kind = Caller::Kind::kSession;
    caller.user = user->second;
    caller.session_id = session->second.id;
    caller.csrf_token = derived_token(token, "csrf");
    return true;
  };
  if (!bearer.empty()) {
    if (!options_.owner_token.empty() && same_secret(bearer, options_.owner_token)) {
      caller.kind = Caller::Kind::kOwner;
      return caller;
    }
    if (const std::string setup = setup_token(); !setup.empty() && same_secret(bearer, setup)) {
      caller.kind = Caller::Kind::kSetup;
      return caller;
    }
    if (const auto key = all->keys_by_hash.find(token_hash(bearer)); key != all->keys_by_hash.end()) {
      const auto user = all->users_by_id.find(key->second->user_id);
      const bool expired = key->second->expires_at && *key->second->expires_at <= now_s();
      if (expired)
        return Error(ErrorKind::kUnauthorized,
                     "the key '" + key->second->name + "' has expired: make a new one");
      if (user == all->users_by_id.end() || user->second->status != UserStatus::kActive)
        return Error(ErrorKind::kUnauthorized, "the account of this key is not active: ask an administrator");
      caller.kind = Caller::Kind::kKey;
      caller.user = user->second;
      caller.key = key->second;
      return caller;
    }
    if (find_session(bearer)) return caller;
    if (!open) return unknown_token();
    caller.kind = Caller::Kind::kLocal;
    return caller;
  }
  if (!cookie.empty() && find_session(cookie)) {
    caller.by_cookie = true;
    return caller;
  }
  if (open) caller.kind = Caller::Kind::kLocal;
  return caller;
}

Result<User> Accounts::register_user(const Draft& draft, const Caller& caller) {
  TRY(check_email(draft.email));
  TRY(check_name(draft.name));
  TRY(check_password(draft.password));
  const bool administers = caller.administers();
  if (!administers && has_users() && !options_.policy().registration)
    return Error(ErrorKind::kForbidden,
                 "registration is switched off here: ask an administrator for an account");
  if (draft.role && !administers)
    return Error(ErrorKind::kForbidden, "only an administrator gives roles", "role");
  User user;
  user.id = new_id("user");
  user.email = draft.email;
  user.name = draft.name;
  user.password_hash = TRY(hash_password(draft.password));
  user.created_at = now_s();
  if (administers) user.status = UserStatus::kActive;
  if (draft.role) user.role = *draft.role;
  User made = TRY(user_store_.create(std::move(user), administers));
  TRY(refresh());
  log::info("account {} made: {}, {}", made.email, to_string(made.role), to_string(made.status));
  return made;
}

Result<Accounts::Login> Accounts::login(const std::string& email, const std::string& password,
                                        const std::string& address, const std::string& agent,
                                        int& retry_after_s) {
  if (const auto wait = throttle_.wait(email, address); wait.count() > 0) {
    retry_after_s = static_cast<int>(wait.count());
    return Error(ErrorKind::kOverloaded,
                 "too many failed logins: try again in " + std::to_string(retry_after_s) + " s");
  }
  const DirectoryPtr all = directory();
  const auto found = std::find_if(all->users.begin(), all->users.end(),
                                  [&](const auto& user) { return same_text(user->email, email); });
  bool right = false;
  if (found == all->users.end())
    pretend_to_check_password(password);
  else
    right = is_password(password, (*found)->password_hash);
  if (!right) {
    throttle_.failed(email, address);
    log::warn("failed login for {} from {}", has_control_characters(email) ? "?" : email.substr(0, 100),
              address);
    return Error(ErrorKind::kUnauthorized, "e-mail address or password is wrong");
  }
  throttle_.succeeded(email);
  const User& user = **found;
  if (user.status == UserStatus::kPending)
    return Error(ErrorKind::kForbidden, "this account waits for an administrator's approval");
  if (user.status == UserStatus::kDisabled)
    return Error(ErrorKind::kForbidden, "this account is disabled: ask an administrator");
  Login login;
  login.token = random_token(kTokenBytes);
  login.csrf_token = derived_token(login.token, "csrf");
  login.session = {.id = new_id("session"),
                   .user_id = user.id,
                   .token_hash = token_hash(login.token),
                   .created_at = now_s(),
                   .expires_at = now_s() + options_.policy().session_seconds,
                   .address = address,
                   .agent = printable(agent)};
  login.user = user;
  TRY(user_store_.create_session(login.session));
  TRY(refresh());
  return login;
}

Result<void> Accounts::end_session(const std::string& session_id) {
  if (!TRY(user_store_.remove_session(session_id)))
    return not_found("there is no session '" + session_id.substr(0, 100) + "'");
  return refresh();
}

std::vector<Session> Accounts::sessions_of(const std::string& user_id) const {
  std::vector<Session> sessions;
  const DirectoryPtr all = directory();
  for (const auto& [hash, session] : all->sessions_by_hash)
    if (session.user_id == user_id && session.expires_at > now_s()) sessions.push_back(session);
  std::sort(sessions.begin(), sessions.end(),
            [](const Session& a, const Session& b) { return a.created_at > b.created_at; });
  return sessions;
}

Result<void> Accounts::change_password(const Caller& caller, const std::string& old_password,
                                       const std::string& new_password, int& retry_after_s) {
  const User user = TRY(this->user(caller.user_id()));
  // Someone at an unlocked screen guesses no faster than at the login page.
  if (const auto wait = throttle_.wait(user.email, ""); wait.count() > 0) {
    retry_after_s = static_cast<int>(wait.count());
    return Error(ErrorKind::kOverloaded,
                 "too many wrong passwords: try again in " + std::to_string(retry_after_s) + " s");
  }
  if (!is_password(old_password, user.password_hash)) {
    throttle_.failed(user.email, "");
    return Error(ErrorKind::kForbidden, "the old password is wrong", "old_password");
  }
  TRY(check_password(new_password));
  UserStore::Changes changes;
  changes.password_hash = TRY(hash_password(new_password));
  changes.end_sessions_except = caller.session_id;
  TRY(user_store_.change(user.id, changes));
  return refresh();
}

std::vector<User> Accounts::users() const {
  std::vector<User> users;
  const DirectoryPtr all = directory();
  for (const auto& user : all->users) users.push_back(*user);
  return users;
}

Result<User> Accounts::user(const std::string& id_or_email) const {
  const DirectoryPtr all = directory();
  for (const auto& user : all->users)
    if (user->id == id_or_email || same_text(user->email, id_or_email)) return *user;
  return not_found("there is no user '" + id_or_email.substr(0, 100) + "'");
}

Result<User> Accounts::change_user(const std::string& id, std::optional<UserRole> role,
                                   std::optional<UserStatus> status, std::optional<std::string> name) {
  const User before = TRY(user(id));
  if (name) TRY(check_name(*name));
  UserStore::Changes changes;
  changes.role = role;
  changes.status = status;
  changes.name = std::move(name);
  if (status && *status != UserStatus::kActive) changes.end_sessions_except = "";
  User after = TRY(user_store_.change(before.id, changes));
  TRY(refresh());
  log::info("account {} is now {}, {}", after.email, to_string(after.role), to_string(after.status));
  return after;
}

Result<void> Accounts::reset_password(const std::string& id, const std::string& password) {
  const User before = TRY(user(id));
  TRY(check_password(password));
  UserStore::Changes changes;
  changes.password_hash = TRY(hash_password(password));
  changes.end_sessions_except = "";
  TRY(user_store_.change(before.id, changes));
  log::info("password of {} reset", before.email);
  return refresh();
}

Result<UserStore::Removed> Accounts::remove_user(const std::string& id) {
  const User before = TRY(user(id));
  UserStore::Removed removed = TRY(user_store_.remove(before.id));
  TRY(refresh());
  log::info("account {} removed with {} keys and {} chats", before.email, removed.num_keys,
            removed.num_chats);
  return removed;
}

Result<Accounts::NewKey> Accounts::create_key(ApiKey draft) {
  const User owner = TRY(user(draft.user_id));
  TRY(check_name(draft.name));
  if (draft.name.empty()) return invalid_argument("name is empty: say what the key is for", "name");
  for (const auto* list : {&draft.models, &draft.endpoints})
    for (const std::string& entry : *list)
      if (entry.empty() || entry.size() > kMaxNameBytes || has_control_characters(entry))
        return invalid_argument("a model or endpoint of a key has 1 to 200 bytes and no control characters",
                                list == &draft.models ? "models" : "endpoints");
  if (draft.expires_at && *draft.expires_at <= now_s())
    return invalid_argument("expires_at is in the past", "expires_at");
  if (draft.admin && owner.role == UserRole::kViewer)
    return Error(ErrorKind::kForbidden, "a viewer's key cannot have the admin scope", "admin");
  NewKey made;
  made.token = std::string(kKeyPrefix) + random_token(kTokenBytes);
  draft.id = new_id("key");
  draft.user_id = owner.id;
  draft.token_hash = token_hash(made.token);
  draft.hint = made.token.substr(0, kHintBytes);
  draft.created_at = now_s();
  draft.last_used_at.reset();
  TRY(key_store_.create(draft));
  TRY(refresh());
  made.key = std::move(draft);
  return made;
}

Result<std::vector<ApiKey>> Accounts::keys() {
  TRY(save_usage());
  return key_store_.list();
}

Result<ApiKey> Accounts::key(const std::string& id) const {
  const DirectoryPtr all = directory();
  for (const auto& key : all->keys)
    if (key->id == id) return *key;
  return not_found("there is no key '" + id.substr(0, 100) + "'");
}

Result<void> Accounts::remove_key(const std::string& id) {
  if (!TRY(key_store_.remove(id))) return not_found("there is no key '" + id.substr(0, 100) + "'");
  if (options_.meter != nullptr) options_.meter->forget(id);
  return refresh();
}

Result<void> Accounts::save_usage() {
  if (options_.meter == nullptr) return {};
  const std::vector<KeyUsage> unsaved = options_.meter->take_unsaved();
  if (unsaved.empty()) return {};
  auto saved = key_store_.add_usage(unsaved, now_s());
  if (!saved.ok()) options_.meter->put_back(unsaved);
  return saved;
}

Result<std::vector<KeyUsage>> Accounts::usage_of(const std::string& key_id) {
  TRY(save_usage());
  return key_store_.usage_of(key_id);
}

}  // namespace mlxd
