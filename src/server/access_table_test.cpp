// Every route × everybody who may ask: who is let in stands here once more, by hand.
#include "server/access_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>

#include "server/access_gate.h"
#include "server/api_server.h"
#include "server/testing/manage_client.h"
#include "server/testing/scripted_model.h"

namespace mlxd {
namespace {

using testing::ManageCaller;
using testing::ManageReply;

// Who asks, in the order of the columns below.
enum Who {
  kNobody,
  kViewer,
  kUser,
  kOtherUser,
  kAdministrator,
  kScopelessKey,
  kAdminKey,
  kCrossSite,
  kNumWho
};
constexpr const char* kNames[kNumWho] = {"nobody",     "viewer",         "user",
                                         "other user", "administrator",  "key without scope",
                                         "admin key",  "cross-site page"};

// What the gate answers: '+' lets in, '1' asks for credentials (401), '3' refuses (403).
const std::map<AccessNeed, std::string> kExpected = {
    {AccessNeed::kAnyone,
     "+++++++"
     "3"},
    {AccessNeed::kGenerate,
     "13++++"
     "+"
     "3"},
    {AccessNeed::kLook,
     "1++++"
     "?"
     "+"
     "3"},
    {AccessNeed::kAccount,
     "1++++3"
     "+"
     "3"},
    {AccessNeed::kMember,
     "13+++3"
     "+"
     "3"},
    {AccessNeed::kAdmin,
     "1333+3"
     "+"
     "3"},
};

class AccessTableTest : public ::testing::Test {
 protected:
  void SetUp() override {
    setenv("HF_HUB_OFFLINE", "1", 1);
    ApiServer::Options options;
    options.pool = testing::scripted_pool();
    options.management = Management::open({.owner_token = "owner"}).take_value();
    server_ = ApiServer::start(std::move(options)).take_value();
    server_->set_ready();
    const ManageCaller owner = ManageCaller::bearer(port(), "owner");
    headers_[kAdministrator] = make_account(owner, "admin@x.org", "admin");
    headers_[kViewer] = make_account(owner, "viewer@x.org", "viewer");
    headers_[kUser] = make_account(owner, "user@x.org", "user");
    headers_[kOtherUser] = make_account(owner, "other@x.org", "user");
    const auto key = [&](const char* more) {
      const ManageReply made =
          owner.call("POST", "/api/v1/keys", R"({"name":"k","user":"admin@x.org")" + std::string(more) + "}");
      EXPECT_EQ(made.status, 201) << made.raw;
      return "Authorization: Bearer " + made.at("/key") + "\r\n";
    };
    headers_[kScopelessKey] = key("");
    headers_[kAdminKey] = key(R"(,"admin":true)");
    headers_[kCrossSite] = headers_[kAdministrator] + "Origin: https://evil.example\r\n";
  }
  void TearDown() override {
    server_.reset();
    unsetenv("HF_HUB_OFFLINE");
  }

  std::uint16_t port() const { return server_->http().port(); }

  std::string make_account(const ManageCaller& owner, const std::string& email, const std::string& role) {
    const std::string account = R"({"email":")" + email + R"(","password":"long enough")";
    EXPECT_EQ(owner.call("POST", "/api/v1/users", account + R"(,"role":")" + role + "\"}").status, 201);
    const ManageReply login =
        ManageCaller(port()).call("POST", "/api/v1/auth/login", account + R"(,"cookie":false})");
    EXPECT_EQ(login.status, 200) << login.raw;
    return "Authorization: Bearer " + login.at("/token") + "\r\n";
  }

  std::unique_ptr<ApiServer> server_;
  std::map<int, std::string> headers_;
};

// A path that the pattern fits, naming things that do not exist, so that whoever is let in changes nothing.
std::string example_of(const std::string& pattern) {
  std::string path;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '{') {
      path += "nothing";
      i = pattern.find('}', i);
    } else {
      path += pattern[i];
    }
  }
  return path;
}

TEST_F(AccessTableTest, every_route_has_its_row) {
  std::set<std::pair<std::string, std::string>> seen;
  for (const auto& [method, pattern] : server_->routes()) {
    EXPECT_NE(find_access_rule(method, pattern), nullptr)
        << method << " " << pattern << ": say in server/access_table.cpp who may use it";
    EXPECT_TRUE(seen.emplace(method, pattern).second) << method << " " << pattern;
  }
  EXPECT_GT(seen.size(), 40U);
}

TEST(AccessTable, has_each_route_once) {
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (const AccessRule& rule : access_table())
    EXPECT_TRUE(seen.emplace(rule.method, rule.pattern).second) << rule.method << " " << rule.pattern;
}

TEST(AccessTable, reading_changes_nothing_so_nobody_needs_more_than_to_look) {
  // Whatever anyone may do without credentials stands here by name.
  std::set<std::string> open;
  for (const AccessRule& rule : access_table())
    if (rule.need == AccessNeed::kAnyone)
      open.insert(std::string(rule.method) + " " + std::string(rule.pattern));
  EXPECT_EQ(open, (std::set<std::string>{"GET /healthz", "GET /openapi.json", "GET /readyz",
                                         "GET /api/v1/auth/state", "POST /api/v1/auth/register",
                                         "POST /api/v1/auth/login"}));
}

TEST_F(AccessTableTest, every_route_answers_everybody_as_its_row_says) {
  for (const auto& [method, pattern] : server_->routes()) {
    const AccessRule* rule = find_access_rule(method, pattern);
    ASSERT_NE(rule, nullptr) << pattern;
    // It would end the sessions that the others ask with.
    if (pattern == "/api/v1/auth/logout") continue;
    const std::string path = example_of(pattern);
    for (int who = 0; who < kNumWho; ++who) {
      char expected = kExpected.at(rule->need)[static_cast<std::size_t>(who)];
      // A key that may only generate also looks at models, not at what is managed.
      if (expected == '?') expected = path.starts_with("/api/v1/") ? '3' : '+';
      const ManageCaller caller(port(), headers_[who]);
      const bool is_stream = pattern == "/api/v1/events" && expected == '+';
      const ManageReply reply =
          is_stream ? caller.get_head(path) : caller.call(method, path, method == "GET" ? "" : "{}");
      const std::string what =
          method + " " + pattern + " by " + kNames[who] + ": " + reply.raw.substr(0, 200);
      if (expected == '1') {
        EXPECT_EQ(reply.status, 401) << what;
        EXPECT_EQ(reply.header("www-authenticate"), "Bearer realm=\"mlxd\"") << what;
      } else if (expected == '3') {
        EXPECT_EQ(reply.status, 403) << what;
      } else {
        EXPECT_NE(reply.status, 401) << what;
        EXPECT_NE(reply.status, 403) << what;
        EXPECT_NE(reply.status, 500) << what;
      }
      if (reply.status >= 400 && path.starts_with("/api/v1/")) {
        EXPECT_EQ(reply.header("content-type"), "application/problem+json") << what;
        EXPECT_EQ(reply.at("/status"), std::to_string(reply.status)) << what;
      } else if (reply.status >= 400 && path.starts_with("/api/")) {
        EXPECT_TRUE(method == "HEAD" || reply.at("/error") != "(absent)") << what;
      } else if (reply.status >= 400) {
        EXPECT_NE(reply.at("/error/message"), "(absent)") << what;
      }
    }
  }
}

TEST_F(AccessTableTest, one_account_does_not_see_what_is_anothers) {
  const ManageCaller user(port(), headers_[kUser]);
  const ManageCaller other(port(), headers_[kOtherUser]);
  const ManageReply key = user.call("POST", "/api/v1/keys", R"({"name":"mine"})");
  ASSERT_EQ(key.status, 201) << key.raw;
  const std::string key_path = "/api/v1/keys/" + key.at("/id");
  EXPECT_EQ(other.call("DELETE", key_path).status, 404);
  EXPECT_EQ(other.get(key_path + "/usage").status, 404);
  EXPECT_EQ(other.get("/api/v1/keys").at("/keys"), "[]");
  EXPECT_EQ(other.call("POST", "/api/v1/keys", R"({"name":"x","user":"user@x.org"})").status, 403);
  EXPECT_EQ(other.call("POST", "/api/v1/keys", R"({"name":"x","priority":"high"})").status, 403);
  const ManageReply chat = user.call("POST", "/api/v1/chats", R"({"title":"secret"})");
  ASSERT_EQ(chat.status, 201) << chat.raw;
  const std::string chat_path = "/api/v1/chats/" + chat.at("/id");
  EXPECT_EQ(user.get(chat_path).status, 200);
  EXPECT_EQ(other.get(chat_path).status, 404);
  EXPECT_EQ(other.call("DELETE", chat_path).status, 404);
  EXPECT_EQ(other.call("POST", chat_path + "/messages", R"({"role":"user","text":"x"})").status, 404);
  EXPECT_EQ(other.get("/api/v1/chats?q=secret").at("/chats"), "[]");
  const ManageReply profile = user.call("POST", "/api/v1/profiles", R"({"name":"mine","model":"m"})");
  ASSERT_EQ(profile.status, 201) << profile.raw;
  const std::string profile_path = "/api/v1/profiles/" + profile.at("/id");
  EXPECT_EQ(other.get(profile_path).status, 200);
  EXPECT_EQ(other.call("PATCH", profile_path, R"({"model":"n"})").status, 403);
  EXPECT_EQ(
      ManageCaller(port(), headers_[kAdministrator]).call("PATCH", profile_path, R"({"model":"n"})").status,
      200);
  const std::string session = user.get("/api/v1/auth/sessions").at("/sessions/0/id");
  EXPECT_EQ(other.call("DELETE", "/api/v1/auth/sessions/" + session).status, 404);
  EXPECT_EQ(user.call("DELETE", key_path).status, 204);
}

TEST_F(AccessTableTest, pages_of_other_sites_are_refused_in_every_disguise) {
  for (const char* origin : {"Origin: null\r\n", "Origin: https://evil.example\r\n", "Origin: file://\r\n"})
    for (const char* path : {"/v1/models", "/api/v1/auth/state", "/api/v1/users"})
      EXPECT_EQ(ManageCaller(port(), headers_[kAdministrator] + origin).get(path).status, 403)
          << origin << path;
  const ManageReply hidden =
      ManageCaller(port(), headers_[kAdministrator])
          .call("POST", "/api/v1/keys", R"({"name":"x"})", "Sec-Fetch-Site: cross-site\r\n");
  EXPECT_EQ(hidden.status, 403);
}

}  // namespace
}  // namespace mlxd
