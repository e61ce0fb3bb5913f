#include "server/account_routes.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <utility>

#include "api/field_reader.h"
#include "api/manage/account_codec.h"
#include "server/access_gate.h"

namespace mlxd {
namespace {

namespace json = boost::json;
namespace manage = api::manage;

std::string cookie(const std::string& token, std::int64_t max_age_s) {
  return std::string(kSessionCookie) + "=" + token +
         "; Path=/; HttpOnly; SameSite=Strict; Max-Age=" + std::to_string(max_age_s);
}

Result<ManageAnswer> log_in(Accounts& accounts, const http::Request& request, int& retry_after_s) {
  const auto fields = TRY(manage::decode_account(request.body, manage::AccountRequest::kLogin));
  if (fields.email.empty()) return api::missing_field("email");
  if (fields.password.empty()) return api::missing_field("password");
  const std::string* agent = request.headers.find("user-agent");
  const Accounts::Login login = TRY(accounts.login(fields.email, fields.password, request.remote_address,
                                                   agent == nullptr ? std::string() : *agent, retry_after_s));
  ManageAnswer answer;
  json::object body{{"user", manage::encode_user(login.user)},
                    {"csrf_token", json::string(login.csrf_token)},
                    {"expires_at", login.session.expires_at}};
  // A page never sees the token; a program asks for it instead of the cookie.
  if (fields.cookie)
    answer.headers.add("Set-Cookie",
                       cookie(login.token, login.session.expires_at - login.session.created_at));
  else
    body["token"] = login.token;
  answer.body = std::move(body);
  return answer;
}

// The caller's own key, or any of an administrator's asking.
Result<ApiKey> own_key(Accounts& accounts, const http::Request& request, const Caller& caller) {
  ApiKey key = TRY(accounts.key(std::string(request.parameter("id"))));
  if (key.user_id != caller.user_id() && !caller.administers())
    return not_found("there is no key '" + key.id.substr(0, 100) + "'");
  return key;
}

std::string email_of(const std::vector<User>& users, const std::string& id) {
  const auto user = std::find_if(users.begin(), users.end(), [&](const User& each) { return each.id == id; });
  return user == users.end() ? std::string() : user->email;
}

}  // namespace

void add_auth_routes(ManageRoutes& routes, Accounts& accounts) {
  routes.add("GET", "/api/v1/auth/state", [&accounts](const http::Request&, const Caller& caller) {
    // What a page needs to know which form to show.
    return Result<ManageAnswer>(ManageAnswer{.body = json::object{{"has_users", accounts.has_users()},
                                                                  {"open", accounts.is_open()},
                                                                  {"signed_in", caller.user != nullptr}}});
  });
  routes.add_slow(
      "POST", "/api/v1/auth/register",
      [&accounts](const http::Request& request, const Caller& caller, int&) -> Result<ManageAnswer> {
        const auto fields = TRY(manage::decode_account(request.body, manage::AccountRequest::kRegister));
        if (fields.email.empty()) return api::missing_field("email");
        if (fields.password.empty()) return api::missing_field("password");
        Caller who = caller;
        if (!fields.setup_token.empty()) {
          const auto setup = accounts.identify(fields.setup_token, {});
          if (!setup.ok() || setup->kind != Caller::Kind::kSetup)
            return Error(ErrorKind::kForbidden, "this is not the setup token, or it has been used",
                         "setup_token");
          who = *setup;
        }
        const User user = TRY(accounts.register_user(
            {.email = fields.email, .name = fields.name.value_or(""), .password = fields.password}, who));
        return ManageAnswer{.status = 201, .body = json::object{{"user", manage::encode_user(user)}}};
      });
  routes.add_slow("POST", "/api/v1/auth/login",
                  [&accounts](const http::Request& request, const Caller&, int& retry_after_s) {
                    return log_in(accounts, request, retry_after_s);
                  });
  routes.add("GET", "/api/v1/auth/me", [](const http::Request&, const Caller& caller) {
    ManageAnswer answer{.body = json::object{{"user", manage::encode_user(*caller.user)}}};
    if (!caller.csrf_token.empty()) answer.body.get_object()["csrf_token"] = caller.csrf_token;
    return Result<ManageAnswer>(std::move(answer));
  });
  routes.add("POST", "/api/v1/auth/logout",
             [&accounts](const http::Request&, const Caller& caller) -> Result<ManageAnswer> {
               if (caller.session_id.empty())
                 return invalid_argument("an API key has no session to end: revoke the key instead");
               TRY(accounts.end_session(caller.session_id));
               ManageAnswer answer{.status = 204};
               answer.headers.add("Set-Cookie", cookie("", 0));
               return answer;
             });
  routes.add_slow(
      "POST", "/api/v1/auth/password",
      [&accounts](const http::Request& request, const Caller& caller,
                  int& retry_after_s) -> Result<ManageAnswer> {
        const auto fields =
            TRY(manage::decode_account(request.body, manage::AccountRequest::kChangePassword));
        if (fields.old_password.empty()) return api::missing_field("old_password");
        if (fields.new_password.empty()) return api::missing_field("new_password");
        TRY(accounts.change_password(caller, fields.old_password, fields.new_password, retry_after_s));
        return ManageAnswer{.status = 204};
      });
  routes.add("GET", "/api/v1/auth/sessions", [&accounts](const http::Request&, const Caller& caller) {
    json::array sessions;
    for (const Session& session : accounts.sessions_of(caller.user_id()))
      sessions.push_back(manage::encode_session(session, session.id == caller.session_id));
    return Result<ManageAnswer>(ManageAnswer{.body = json::object{{"sessions", std::move(sessions)}}});
  });
  routes.add(
      "DELETE", "/api/v1/auth/sessions/{id}",
      [&accounts](const http::Request& request, const Caller& caller) -> Result<ManageAnswer> {
        const std::string id(request.parameter("id"));
        const auto own = accounts.sessions_of(caller.user_id());
        if (std::none_of(own.begin(), own.end(), [&](const Session& session) { return session.id == id; }))
          return not_found("there is no session '" + id.substr(0, 100) + "'");
        TRY(accounts.end_session(id));
        return ManageAnswer{.status = 204};
      });
}

void add_user_routes(ManageRoutes& routes, Accounts& accounts) {
  routes.add("GET", "/api/v1/users", [&accounts](const http::Request&, const Caller&) {
    json::array users;
    for (const User& user : accounts.users()) users.push_back(manage::encode_user(user));
    return Result<ManageAnswer>(ManageAnswer{.body = json::object{{"users", std::move(users)}}});
  });
  routes.add_slow(
      "POST", "/api/v1/users",
      [&accounts](const http::Request& request, const Caller& caller, int&) -> Result<ManageAnswer> {
        const auto fields = TRY(manage::decode_account(request.body, manage::AccountRequest::kNewUser));
        if (fields.email.empty()) return api::missing_field("email");
        if (fields.password.empty()) return api::missing_field("password");
        const User user = TRY(accounts.register_user({.email = fields.email,
                                                      .name = fields.name.value_or(""),
                                                      .password = fields.password,
                                                      .role = fields.role},
                                                     caller));
        return ManageAnswer{.status = 201, .body = manage::encode_user(user)};
      });
  routes.add("PATCH", "/api/v1/users/{id}",
             [&accounts](const http::Request& request, const Caller&) -> Result<ManageAnswer> {
               const auto fields =
                   TRY(manage::decode_account(request.body, manage::AccountRequest::kChangeUser));
               const User user = TRY(accounts.change_user(std::string(request.parameter("id")), fields.role,
                                                          fields.status, fields.name));
               return ManageAnswer{.body = manage::encode_user(user)};
             });
  routes.add("DELETE", "/api/v1/users/{id}",
             [&accounts](const http::Request& request, const Caller&) -> Result<ManageAnswer> {
               const auto removed = TRY(accounts.remove_user(std::string(request.parameter("id"))));
               return ManageAnswer{.body = json::object{{"removed", manage::encode_user(removed.user)},
                                                        {"keys_removed", removed.num_keys},
                                                        {"chats_removed", removed.num_chats}}};
             });
  routes.add_slow("POST", "/api/v1/users/{id}/password",
                  [&accounts](const http::Request& request, const Caller&, int&) -> Result<ManageAnswer> {
                    const auto fields =
                        TRY(manage::decode_account(request.body, manage::AccountRequest::kResetPassword));
                    if (fields.new_password.empty()) return api::missing_field("new_password");
                    TRY(accounts.reset_password(std::string(request.parameter("id")), fields.new_password));
                    return ManageAnswer{.status = 204};
                  });
}

void add_key_routes(ManageRoutes& routes, Accounts& accounts) {
  routes.add("GET", "/api/v1/keys",
             [&accounts](const http::Request&, const Caller& caller) -> Result<ManageAnswer> {
               const std::vector<ApiKey> all = TRY(accounts.keys());
               const std::vector<User> users = accounts.users();
               json::array keys;
               for (const ApiKey& key : all)
                 if (caller.administers() || key.user_id == caller.user_id())
                   keys.push_back(manage::encode_key(key, email_of(users, key.user_id)));
               return ManageAnswer{.body = json::object{{"keys", std::move(keys)}}};
             });
  routes.add("POST", "/api/v1/keys",
             [&accounts](const http::Request& request, const Caller& caller) -> Result<ManageAnswer> {
               auto fields = TRY(manage::decode_key(request.body));
               if (fields.user.empty() && caller.user == nullptr) return api::missing_field("user");
               const User owner = TRY(accounts.user(fields.user.empty() ? caller.user_id() : fields.user));
               if (owner.id != caller.user_id() && !caller.administers())
                 return Error(ErrorKind::kForbidden, "only an administrator makes keys for others", "user");
               // HIGH goes before everybody else's requests.
               if (fields.key.priority == Priority::kHigh && !caller.administers())
                 return Error(ErrorKind::kForbidden, "only an administrator makes keys of high priority",
                              "priority");
               fields.key.user_id = owner.id;
               const auto made = TRY(accounts.create_key(std::move(fields.key)));
               json::object body = manage::encode_key(made.key, owner.email);
               body["key"] = made.token;
               return ManageAnswer{.status = 201, .body = std::move(body)};
             });
  routes.add("DELETE", "/api/v1/keys/{id}",
             [&accounts](const http::Request& request, const Caller& caller) -> Result<ManageAnswer> {
               const ApiKey key = TRY(own_key(accounts, request, caller));
               TRY(accounts.remove_key(key.id));
               return ManageAnswer{.status = 204};
             });
  routes.add(
      "GET", "/api/v1/keys/{id}/usage",
      [&accounts](const http::Request& request, const Caller& caller) -> Result<ManageAnswer> {
        const ApiKey key = TRY(own_key(accounts, request, caller));
        const std::vector<KeyUsage> months = TRY(accounts.usage_of(key.id));
        json::array usage;
        for (const KeyUsage& month : months) usage.push_back(manage::encode_usage(month));
        return ManageAnswer{.body = json::object{{"id", json::string(key.id)}, {"usage", std::move(usage)}}};
      });
}

}  // namespace mlxd
