// Accounts, keys, settings and profiles through HTTP, as pages and programs use them.
#include "server/management.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <sstream>
#include <thread>

#include "server/api_server.h"
#include "server/testing/manage_client.h"
#include "server/testing/scripted_model.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::kAnswer;
using testing::make_scripted_model;
using testing::ManageCaller;
using testing::ManageReply;

// Moves only when told to; read by the server's threads meanwhile.
class TestClock : public Clock {
 public:
  TimePoint now() const override { return TimePoint(std::chrono::seconds(seconds_)); }
  std::int64_t wall_seconds() const override { return seconds_ + ahead_; }
  void advance(std::int64_t seconds) { seconds_ += seconds; }
  /// The date is set; no time passes.
  void jump_wall(std::int64_t seconds) { ahead_ += seconds; }

 private:
  std::atomic<std::int64_t> seconds_{1'800'000'000};
  std::atomic<std::int64_t> ahead_{0};
};

constexpr const char* kAdmin = R"({"email":"admin@x.org","password":"correct horse")";

class ManagementTest : public ::testing::Test {
 protected:
  ManagementTest() {
    std::string pattern = (fs::temp_directory_path() / "mlxd_manage_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~ManagementTest() override {
    server_.reset();
    fs::remove_all(folder_);
  }
  void start(Management::Options options = {}) {
    server_.reset();
    options.state_folder = folder_;
    options.owner_token = "owner-token";
    options.clock = &clock_;
    ApiServer::Options server;
    server.pool = testing::scripted_pool();
    auto management = Management::open(std::move(options));
    ASSERT_TRUE(management.ok()) << management.error().message;
    server.management = management.take_value();
    server_ = ApiServer::start(std::move(server)).take_value();
    ASSERT_TRUE(server_->models().put(make_scripted_model({})).ok());
    server_->set_ready();
  }
  std::uint16_t port() const { return server_->http().port(); }
  ManageCaller nobody() const { return ManageCaller(port()); }
  ManageCaller owner() const { return ManageCaller::bearer(port(), "owner-token"); }
  std::string setup_token() const { return server_->management().accounts().setup_token(); }

  ManageReply log_in(const std::string& account, const char* more = R"(,"cookie":false})") const {
    return nobody().call("POST", "/api/v1/auth/login", account + more);
  }
  ManageCaller admin() {
    owner().call("POST", "/api/v1/users", kAdmin + std::string("}"));
    return ManageCaller::bearer(port(), log_in(kAdmin).at("/token"));
  }
  ManageReply generate(const ManageCaller& who, const std::string& more = {},
                       const std::string& model = "scripted") const {
    return who.call(
        "POST", "/v1/completions",
        R"({"prompt":"S|","temperature":0,"max_tokens":10,"model":")" + model + "\"" + more + "}");
  }
  std::string make_key(const ManageCaller& who, const std::string& more = {}) const {
    const ManageReply made = who.call("POST", "/api/v1/keys", R"({"name":"test")" + more + "}");
    EXPECT_EQ(made.status, 201) << made.raw;
    return made.at("/key");
  }

  TestClock clock_;
  fs::path folder_;
  std::unique_ptr<ApiServer> server_;
};

TEST_F(ManagementTest, is_open_to_local_programs_until_the_first_account_which_needs_the_setup_token) {
  start();
  EXPECT_EQ(generate(nobody()).status, 200);
  EXPECT_EQ(generate(ManageCaller::bearer(port(), "any key")).status, 200);
  EXPECT_EQ(nobody().get("/v1/models").status, 200);
  for (const char* path : {"/api/v1/users", "/api/v1/settings", "/api/v1/keys"})
    EXPECT_EQ(nobody().get(path).status, 401) << path;
  struct stat facts {};
  ASSERT_EQ(::stat((folder_ / "setup.token").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777U, 0600U);
  std::ifstream file(folder_ / "setup.token");
  std::string in_file;
  std::getline(file, in_file);
  EXPECT_EQ(in_file, setup_token());

  const std::string account = kAdmin;
  const ManageReply without = nobody().call("POST", "/api/v1/auth/register", account + "}");
  EXPECT_EQ(without.status, 403);
  EXPECT_THAT(without.at("/detail"), HasSubstr("setup token"));
  EXPECT_EQ(nobody().call("POST", "/api/v1/auth/register", account + R"(,"setup_token":"guess"})").status,
            403);
  EXPECT_EQ(nobody().get("/api/v1/auth/state").at("/has_users"), "false");
  // A server that starts anew keeps the token it has told.
  const std::string token = setup_token();
  start();
  EXPECT_EQ(setup_token(), token);
  const ManageReply first =
      nobody().call("POST", "/api/v1/auth/register", account + R"(,"setup_token":")" + token + "\"}");
  EXPECT_EQ(first.status, 201) << first.raw;
  EXPECT_EQ(first.at("/user/role"), "admin");
  EXPECT_EQ(first.at("/user/status"), "active");
  EXPECT_EQ(setup_token(), "");
  EXPECT_FALSE(fs::exists(folder_ / "setup.token"));
  // Used once.
  EXPECT_EQ(nobody()
                .call("POST", "/api/v1/auth/register",
                      R"({"email":"b@x.org","password":"long enough","setup_token":")" + token + "\"}")
                .status,
            403);

  EXPECT_EQ(generate(nobody()).status, 401);
  const ManageReply refused = generate(ManageCaller::bearer(port(), "any key"));
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.at("/error/code"), "invalid_api_key");
  EXPECT_EQ(nobody().get("/healthz").status, 200);
}

TEST_F(ManagementTest, a_server_for_others_is_never_open) {
  start({.loopback = false});
  EXPECT_EQ(generate(nobody()).status, 401);
  EXPECT_EQ(generate(ManageCaller::bearer(port(), "any key")).status, 401);
  EXPECT_EQ(nobody().get("/v1/models").status, 401);
}

TEST_F(ManagementTest, further_accounts_wait_for_approval_and_can_be_disabled) {
  start();
  const ManageCaller boss = admin();
  const std::string account = R"({"email":"new@x.org","password":"long enough")";
  const ManageReply made = nobody().call("POST", "/api/v1/auth/register", account + R"(,"name":"New"})");
  EXPECT_EQ(made.status, 201) << made.raw;
  EXPECT_EQ(made.at("/user/status"), "pending");
  EXPECT_EQ(made.at("/user/password_hash"), "(absent)");
  EXPECT_EQ(nobody().call("POST", "/api/v1/auth/register", account + "}").status, 409);
  EXPECT_THAT(log_in(account).at("/detail"), HasSubstr("approval"));
  EXPECT_EQ(boss.call("PATCH", "/api/v1/users/new@x.org", R"({"status":"active"})").status, 200);
  const ManageReply login = log_in(account);
  ASSERT_EQ(login.status, 200) << login.raw;
  const ManageCaller user = ManageCaller::bearer(port(), login.at("/token"));
  EXPECT_EQ(user.get("/api/v1/auth/me").at("/user/email"), "new@x.org");
  const std::string key = make_key(user);
  EXPECT_EQ(generate(ManageCaller::bearer(port(), key)).status, 200);
  EXPECT_EQ(boss.call("PATCH", "/api/v1/users/new@x.org", R"({"status":"disabled"})").status, 200);
  EXPECT_EQ(user.get("/api/v1/auth/me").status, 401);
  EXPECT_EQ(generate(ManageCaller::bearer(port(), key)).status, 401);
  EXPECT_EQ(log_in(account).status, 403);
  // The last administrator stays.
  EXPECT_EQ(boss.call("PATCH", "/api/v1/users/admin@x.org", R"({"role":"user"})").status, 409);
  EXPECT_EQ(boss.call("DELETE", "/api/v1/users/admin@x.org").status, 409);
  const ManageReply removed = boss.call("DELETE", "/api/v1/users/new@x.org");
  EXPECT_EQ(removed.at("/keys_removed"), "1");
  EXPECT_EQ(removed.at("/chats_removed"), "0");
  // Registration can be switched off, at once.
  EXPECT_EQ(boss.call("PATCH", "/api/v1/settings", R"({"registration":false})").status, 200);
  EXPECT_EQ(nobody().call("POST", "/api/v1/auth/register", account + "}").status, 403);
}

TEST_F(ManagementTest, pages_get_a_cookie_they_cannot_read_and_must_show_a_token_to_change_something) {
  start();
  admin();
  const ManageReply login = log_in(kAdmin, "}");
  ASSERT_EQ(login.status, 200) << login.raw;
  EXPECT_EQ(login.at("/token"), "(absent)");
  const std::string set = login.header("set-cookie");
  for (const char* part :
       {"mlxd_session=", "; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=604800"})
    EXPECT_THAT(set, HasSubstr(part));
  const std::string cookie = "Cookie: theme=dark; " + set.substr(0, set.find(';')) + "\r\n";
  const ManageCaller page(port(), cookie);
  const ManageReply me = page.get("/api/v1/auth/me");
  EXPECT_EQ(me.at("/user/email"), "admin@x.org");
  EXPECT_EQ(me.at("/csrf_token"), login.at("/csrf_token"));
  EXPECT_EQ(page.call("POST", "/api/v1/keys", R"({"name":"x"})").status, 403);
  EXPECT_EQ(page.call("POST", "/api/v1/keys", R"({"name":"x"})", "X-CSRF-Token: wrong\r\n").status, 403);
  const std::string token = "X-CSRF-Token: " + me.at("/csrf_token") + "\r\n";
  EXPECT_EQ(page.call("POST", "/api/v1/keys", R"({"name":"x"})", token).status, 201);
  // A page of another port is another page, though its browser sends the cookie.
  EXPECT_EQ(page.call("POST", "/api/v1/keys", R"({"name":"x"})", "Origin: http://localhost:3000\r\n").status,
            403);
  EXPECT_EQ(page.call("POST", "/api/v1/auth/logout", "{}", token).status, 204);
  EXPECT_EQ(page.get("/api/v1/auth/me").status, 401);
}

TEST_F(ManagementTest, sessions_end_after_a_week_when_revoked_and_with_a_new_password) {
  start();
  const ManageCaller first = admin();
  const ManageCaller second = ManageCaller::bearer(port(), log_in(kAdmin).at("/token"));
  const ManageReply sessions = first.get("/api/v1/auth/sessions");
  ASSERT_EQ(sessions.body.at("sessions").as_array().size(), 2U) << sessions.raw;
  EXPECT_EQ(sessions.raw.find("token"), std::string::npos);
  for (const auto& session : sessions.body.at("sessions").as_array())
    if (!session.at("current").as_bool()) {
      EXPECT_EQ(
          first.call("DELETE", "/api/v1/auth/sessions/" + std::string(session.at("id").as_string())).status,
          204);
    }
  EXPECT_EQ(second.get("/api/v1/auth/me").status, 401);
  const ManageCaller third = ManageCaller::bearer(port(), log_in(kAdmin).at("/token"));
  EXPECT_EQ(first
                .call("POST", "/api/v1/auth/password",
                      R"({"old_password":"wrong one","new_password":"another one"})")
                .status,
            403);
  EXPECT_EQ(
      first
          .call("POST", "/api/v1/auth/password", R"({"old_password":"correct horse","new_password":"short"})")
          .status,
      400);
  EXPECT_EQ(first
                .call("POST", "/api/v1/auth/password",
                      R"({"old_password":"correct horse","new_password":"another one"})")
                .status,
            204);
  EXPECT_EQ(first.get("/api/v1/auth/me").status, 200);
  EXPECT_EQ(third.get("/api/v1/auth/me").status, 401);
  EXPECT_EQ(log_in(kAdmin).status, 401);
  clock_.advance(7 * 24 * 3600 - 1);
  EXPECT_EQ(first.get("/api/v1/auth/me").status, 200);
  clock_.advance(1);
  EXPECT_EQ(first.get("/api/v1/auth/me").status, 401);
  EXPECT_EQ(
      owner().call("POST", "/api/v1/users/admin@x.org/password", R"({"new_password":"yet another"})").status,
      204);
  EXPECT_EQ(log_in(R"({"email":"Admin@X.org","password":"yet another")").status, 200);
}

TEST_F(ManagementTest, guessing_passwords_is_slowed_down) {
  start();
  admin();
  const char* wrong = R"({"email":"admin@x.org","password":"wrong password")";
  for (int i = 0; i < LoginThrottle::kFreeAccountFailures + 1; ++i) {
    const ManageReply reply = log_in(wrong);
    EXPECT_EQ(reply.status, 401);
    EXPECT_EQ(reply.at("/detail"), "e-mail address or password is wrong");
  }
  EXPECT_EQ(log_in(R"({"email":"nobody@x.org","password":"wrong password")").at("/detail"),
            "e-mail address or password is wrong");
  const ManageReply slowed = log_in(kAdmin);
  EXPECT_EQ(slowed.status, 429);
  EXPECT_EQ(slowed.header("retry-after"), "1");
  clock_.advance(1);
  EXPECT_EQ(log_in(kAdmin).status, 200);
}

TEST_F(ManagementTest, keys_are_shown_once_scoped_limited_and_counted) {
  start();
  const ManageCaller boss = admin();
  const std::string token = make_key(boss, R"(,"models":["script*"],"endpoints":["/v1/completions"])");
  EXPECT_EQ(token.substr(0, 5), "mlxd-");
  const ManageReply list = boss.get("/api/v1/keys");
  EXPECT_EQ(list.raw.find(token), std::string::npos);
  EXPECT_EQ(list.raw.find("hash"), std::string::npos);
  EXPECT_EQ(list.at("/keys/0/hint"), token.substr(0, 12));
  // Nothing in the state folder has it either.
  for (const auto& file : fs::directory_iterator(folder_)) {
    std::ostringstream text;
    text << std::ifstream(file.path()).rdbuf();
    EXPECT_EQ(text.str().find(token), std::string::npos) << file.path();
    EXPECT_EQ(text.str().find("correct horse"), std::string::npos) << file.path();
  }
  const ManageCaller key = ManageCaller::bearer(port(), token);
  EXPECT_EQ(generate(key).status, 200);
  EXPECT_EQ(ManageCaller(port(), "x-api-key: " + token + "\r\n").get("/v1/models").status, 200);
  const ManageReply elsewhere =
      key.call("POST", "/v1/chat/completions", R"({"model":"scripted","messages":[]})");
  EXPECT_EQ(elsewhere.status, 403);
  EXPECT_THAT(elsewhere.at("/error/message"), HasSubstr("other endpoints"));
  const ManageReply other_model = generate(key, {}, "another");
  EXPECT_EQ(other_model.status, 403);
  EXPECT_EQ(other_model.at("/error/param"), "model");
  EXPECT_EQ(key.get("/api/v1/keys").status, 403);

  const std::string limited = make_key(boss, R"(,"requests_per_minute":2,"priority":"low")");
  const ManageCaller slow = ManageCaller::bearer(port(), limited);
  EXPECT_EQ(generate(slow).status, 200);
  clock_.advance(15);
  EXPECT_EQ(generate(slow).status, 200);
  const ManageReply refused = generate(slow);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.header("retry-after"), "45");
  EXPECT_EQ(refused.at("/error/type"), "rate_limit_error");
  clock_.advance(45);
  EXPECT_EQ(generate(slow).status, 200);

  const std::string id = boss.get("/api/v1/keys").at("/keys/1/id");
  const ManageReply usage = boss.get("/api/v1/keys/" + id + "/usage");
  EXPECT_EQ(usage.at("/usage/0/requests"), "3");
  EXPECT_EQ(usage.at("/usage/0/prompt_tokens"), "6");
  EXPECT_EQ(usage.at("/usage/0/completion_tokens"), "30");
  EXPECT_NE(boss.get("/api/v1/keys").at("/keys/1/last_used_at"), "null");
  // After a restart the counts are there, and the key works.
  start();
  const ManageCaller boss_again(port(), boss.headers());
  EXPECT_EQ(boss_again.get("/api/v1/keys/" + id + "/usage").at("/usage/0/requests"), "3");
  EXPECT_EQ(generate(ManageCaller::bearer(port(), token)).status, 200);

  const ManageReply expiring = owner().call(
      "POST", "/api/v1/keys",
      R"({"name":"e","user":"admin@x.org","expires_at":)" + std::to_string(clock_.wall_seconds() + 10) + "}");
  const ManageCaller guest = ManageCaller::bearer(port(), expiring.at("/key"));
  EXPECT_EQ(generate(guest).status, 200);
  clock_.advance(10);
  EXPECT_EQ(generate(guest).status, 401);
  EXPECT_EQ(owner().call("DELETE", "/api/v1/keys/" + id).status, 204);
  EXPECT_EQ(generate(ManageCaller::bearer(port(), limited)).status, 401);
}

TEST_F(ManagementTest, a_months_tokens_are_a_limit_that_survives_a_restart) {
  start();
  const ManageCaller key = ManageCaller::bearer(port(), make_key(admin(), R"(,"tokens_per_month":12)"));
  EXPECT_EQ(generate(key).status, 200);
  const ManageReply refused = generate(key);
  EXPECT_EQ(refused.status, 429);
  EXPECT_GT(std::stoi(refused.header("retry-after")), 60);
  start();
  const ManageCaller again(port(), key.headers());
  EXPECT_EQ(generate(again).status, 429);
  clock_.advance(32 * 24 * 3600);
  EXPECT_EQ(generate(again).status, 200);
}

TEST_F(ManagementTest, limits_hold_when_the_date_is_set) {
  start();
  const ManageCaller boss = admin();
  const ManageCaller slow = ManageCaller::bearer(port(), make_key(boss, R"(,"requests_per_minute":1)"));
  const ManageCaller monthly = ManageCaller::bearer(port(), make_key(boss, R"(,"tokens_per_month":12)"));
  EXPECT_EQ(generate(slow).status, 200);
  EXPECT_EQ(generate(monthly).status, 200);
  constexpr std::int64_t kMonth = 32 * 24 * 3600;
  for (const std::int64_t jump : {-kMonth, kMonth, std::int64_t{3600}, std::int64_t{-3600}}) {
    clock_.jump_wall(jump);
    EXPECT_EQ(generate(slow).status, 429) << jump;
  }
  EXPECT_EQ(generate(monthly).status, 429);
  // Started with a wrong date, which is then put right.
  clock_.jump_wall(-kMonth);
  start();
  EXPECT_EQ(generate(ManageCaller(port(), monthly.headers())).status, 200);
  clock_.jump_wall(kMonth);
  EXPECT_EQ(generate(ManageCaller(port(), monthly.headers())).status, 429);
  clock_.advance(60);
  EXPECT_EQ(generate(ManageCaller(port(), slow.headers())).status, 200);
}

TEST_F(ManagementTest, settings_are_checked_stored_and_take_effect) {
  std::ofstream(folder_ / "config.toml") << "threads = 3\n";
  start({.places = SettingPlaces::read({{"port", {"1"}}}, folder_ / "config.toml").take_value()});
  const auto find = [](const ManageReply& reply, std::string_view name) {
    for (const auto& setting : reply.body.at("settings").as_array())
      if (setting.at("name").as_string() == boost::json::string_view(name.data(), name.size()))
        return boost::json::serialize(setting.at("value")) + " " +
               std::string(setting.at("from").as_string()) +
               (setting.as_object().contains("restart_needed") && setting.at("restart_needed").as_bool()
                    ? " restart"
                    : "");
    return std::string("(absent)");
  };
  ManageReply reply = owner().get("/api/v1/settings");
  EXPECT_EQ(find(reply, "port"), "1 --port");
  EXPECT_EQ(find(reply, "threads"), "3 " + (folder_ / "config.toml").string());
  EXPECT_EQ(find(reply, "session-days"), "7 default");
  reply = owner().call(
      "PATCH", "/api/v1/settings",
      R"({"port":2,"session-days":2,"context":4096,"allowed-origin":["https://a.b","https://c.d"]})");
  ASSERT_EQ(reply.status, 200) << reply.raw;
  EXPECT_EQ(find(reply, "port"), "1 --port");
  EXPECT_EQ(find(reply, "session-days"), "2 stored");
  EXPECT_EQ(find(reply, "context"), "4096 stored restart");
  EXPECT_EQ(find(reply, "allowed-origin"), R"(["https://a.b","https://c.d"] stored restart)");
  const ManageReply wrong = owner().call("PATCH", "/api/v1/settings", R"({"context":1,"session-days":0})");
  EXPECT_EQ(wrong.status, 400);
  EXPECT_EQ(wrong.at("/field"), "session-days");
  EXPECT_EQ(owner().call("PATCH", "/api/v1/settings", R"({"sesion-days":1})").status, 404);
  start();
  reply = owner().get("/api/v1/settings");
  EXPECT_EQ(find(reply, "context"), "4096 stored");
  reply = owner().call("PATCH", "/api/v1/settings", R"({"context":null})");
  EXPECT_EQ(find(reply, "context"), "0 default restart");
}

TEST_F(ManagementTest, secrets_are_encrypted_never_returned_and_survive_a_new_key) {
  start();
  EXPECT_EQ(owner().call("PATCH", "/api/v1/settings", R"({"hf-token":"hf_verysecret"})").status, 200);
  const ManageReply list = owner().get("/api/v1/settings");
  EXPECT_EQ(list.raw.find("hf_verysecret"), std::string::npos);
  EXPECT_THAT(list.raw, HasSubstr(R"("is_set":true)"));
  EXPECT_EQ(server_->management().settings().secret("hf-token").take_value(), "hf_verysecret");
  std::ostringstream before;
  before << std::ifstream(folder_ / "secret.key").rdbuf();
  EXPECT_EQ(owner().call("POST", "/api/v1/settings/rotate-key", "{}").status, 204);
  std::ostringstream after;
  after << std::ifstream(folder_ / "secret.key").rdbuf();
  EXPECT_NE(before.str(), after.str());
  start();
  EXPECT_EQ(server_->management().settings().secret("hf-token").take_value(), "hf_verysecret");
  for (const auto& file : fs::directory_iterator(folder_)) {
    std::ostringstream text;
    text << std::ifstream(file.path()).rdbuf();
    EXPECT_EQ(text.str().find("hf_verysecret"), std::string::npos) << file.path();
  }
}

TEST_F(ManagementTest, a_profile_is_a_model_name_whose_defaults_hold_where_a_request_says_nothing) {
  start();
  const ManageReply made = owner().call(
      "POST", "/api/v1/profiles",
      R"({"name":"Brief","model":"scripted","description":"two\nlines","defaults":{"max_tokens":3,"temperature":0,"stop":["lo"],"system":"Be brief."}})");
  ASSERT_EQ(made.status, 201) << made.raw;
  const auto ask = [&](const std::string& model, const std::string& more = {}) {
    return nobody().call("POST", "/v1/completions",
                         R"({"prompt":"S|","model":")" + model + "\"" + more + "}");
  };
  ManageReply answer = ask("brief");
  EXPECT_EQ(answer.at("/usage/completion_tokens"), "3") << answer.raw;
  EXPECT_EQ(answer.at("/model"), "brief");
  EXPECT_EQ(ask("Brief", R"(,"max_tokens":2)").at("/usage/completion_tokens"), "2");
  answer = ask("Brief", R"(,"max_tokens":20)");
  EXPECT_EQ(answer.at("/choices/0/text"), "Hél");
  EXPECT_EQ(answer.at("/choices/0/finish_reason"), "stop");
  // The request's own stop wins, though it is weaker.
  answer = ask("Brief", R"(,"max_tokens":8,"stop":["zzz"])");
  EXPECT_EQ(answer.at("/choices/0/finish_reason"), "length");
  // The system prompt is counted, unless the request has one.
  const auto chat = [&](const std::string& model, const std::string& messages) {
    return nobody().call("POST", "/v1/chat/completions",
                         R"({"model":")" + model + R"(","messages":)" + messages + "}");
  };
  const std::string hi = R"([{"role":"user","content":"Hi"}])";
  const std::string own = R"([{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}])";
  EXPECT_EQ(chat("Brief", hi).at("/usage/prompt_tokens"), chat("scripted", own).at("/usage/prompt_tokens"));
  EXPECT_EQ(chat("Brief", own).at("/usage/prompt_tokens"), chat("scripted", own).at("/usage/prompt_tokens"));
  EXPECT_NE(chat("scripted", hi).at("/usage/prompt_tokens"),
            chat("scripted", own).at("/usage/prompt_tokens"));

  EXPECT_EQ(owner().call("PUT", "/api/v1/aliases/gpt-4o", R"({"model":"Brief"})").status, 200);
  EXPECT_EQ(ask("gpt-4o").at("/usage/completion_tokens"), "3");
  EXPECT_EQ(owner().call("PUT", "/api/v1/aliases/brief", R"({"model":"scripted"})").status, 409);
  const std::string models = nobody().get("/v1/models").raw;
  for (const char* name : {R"("id":"Brief","parent":"scripted")", R"("id":"gpt-4o","parent":"scripted")"})
    EXPECT_THAT(models, HasSubstr(name));
  EXPECT_EQ(nobody().get("/v1/models/gpt-4o").at("/parent"), "scripted");

  const std::string id = made.at("/id");
  const ManageReply shorter =
      owner().call("PATCH", "/api/v1/profiles/" + id, R"({"defaults":{"context_tokens":5}})");
  EXPECT_EQ(shorter.status, 200) << shorter.raw;
  EXPECT_EQ(ask("Brief", R"(,"temperature":0)").at("/usage/total_tokens"), "5");
  EXPECT_EQ(owner().call("PATCH", "/api/v1/profiles/" + id, R"({"defaults":{"temperature":9}})").at("/field"),
            "defaults.temperature");
  EXPECT_EQ(owner().call("PATCH", "/api/v1/profiles/" + id, R"({"defaults":{"temprature":1}})").status, 400);
  // After a restart, too.
  start();
  EXPECT_EQ(ask("Brief", R"(,"temperature":0)").at("/usage/total_tokens"), "5");
  EXPECT_EQ(owner().call("DELETE", "/api/v1/profiles/Brief").status, 204);
  EXPECT_EQ(ask("Brief").status, 404);
}

TEST_F(ManagementTest, profiles_are_duplicated_exported_and_imported) {
  start();
  const char* body =
      R"({"name":"Coder","model":"scripted+lora","description":"for \"code\"\nand tests","auto_load":false,)"
      R"("defaults":{"temperature":0.25,"top_k":40,"stop":["a","\n"],"template":{"enable_thinking":false}}})";
  ASSERT_EQ(owner().call("POST", "/api/v1/profiles", body).status, 201);
  const std::string toml = owner().get("/api/v1/profiles/coder/toml").raw;
  for (const char* part : {"name = \"Coder\"", "temperature = 0.25", "enable_thinking = false"})
    EXPECT_THAT(toml, HasSubstr(part));
  EXPECT_EQ(owner().call("POST", "/api/v1/profiles/Coder/duplicate", "{}").at("/name"), "Coder 2");
  EXPECT_EQ(owner().call("DELETE", "/api/v1/profiles/Coder").status, 204);
  boost::json::object import{{"toml", toml}};
  const ManageReply back = owner().call("POST", "/api/v1/profiles/import", boost::json::serialize(import));
  ASSERT_EQ(back.status, 201) << back.raw;
  EXPECT_EQ(back.at("/name"), "Coder");
  EXPECT_EQ(back.at("/description"), "for \"code\"\nand tests");
  EXPECT_EQ(back.body.at("defaults"),
            boost::json::parse(
                R"({"temperature":0.25,"top_k":40,"stop":["a","\n"],"template":{"enable_thinking":false}})"));
  import["toml"] = "name = \n";
  EXPECT_THAT(owner().call("POST", "/api/v1/profiles/import", boost::json::serialize(import)).at("/detail"),
              HasSubstr("in line 1"));
}

TEST_F(ManagementTest, chats_are_trees_in_folders_that_search_finds) {
  start();
  const ManageCaller user = admin();
  const std::string folder = user.call("POST", "/api/v1/chat-folders", R"({"name":"Work"})").at("/id");
  const std::string chat =
      user.call("POST", "/api/v1/chats",
                R"({"title":"Plans 50%","model":"scripted","folder_id":")" + folder + "\"}")
          .at("/id");
  const std::string path = "/api/v1/chats/" + chat;
  user.call("POST", "/api/v1/chats", R"({"title":"Other"})");
  const auto say = [&](const std::string& role, const std::string& text, const std::string& parent) {
    const ManageReply reply =
        user.call("POST", path + "/messages",
                  R"({"role":")" + role + R"(","text":")" + text + "\"" +
                      (parent.empty() ? "" : R"(,"parent_id":")" + parent + "\"") + "}");
    EXPECT_EQ(reply.status, 201) << reply.raw;
    return reply.at("/id");
  };
  const std::string root = say("user", "Where are penguins?", "");
  const std::string one = say("assistant", "In the south.", root);
  const std::string two = say("assistant", "企鹅在南极。", root);
  say("user", "Thanks", one);
  EXPECT_EQ(user.get(path).body.at("messages").as_array().size(), 4U);
  for (const char* query : {"?q=penguin", "?q=PENG+where", "?q=%E5%8D%97%E6%9E%81", "?q=50%25"}) {
    const ManageReply found = user.get(std::string("/api/v1/chats") + query);
    ASSERT_EQ(found.body.at("chats").as_array().size(), 1U) << query << found.raw;
    EXPECT_EQ(found.at("/chats/0/id"), chat);
  }
  EXPECT_EQ(user.get("/api/v1/chats?q=penguin+Thanks").at("/chats"), "[]");
  EXPECT_EQ(user.get("/api/v1/chats?folder=" + folder).body.at("chats").as_array().size(), 1U);
  EXPECT_EQ(user.get("/api/v1/chats").body.at("chats").as_array().size(), 2U);
  EXPECT_EQ(user.get("/api/v1/chats?limit=x").status, 400);
  EXPECT_EQ(user.call("PATCH", path, R"({"pinned":true})").at("/pinned"), "true");
  EXPECT_EQ(user.get("/api/v1/chats").at("/chats/0/id"), chat);
  // A branch goes with what answers it.
  EXPECT_EQ(user.call("DELETE", path + "/messages/" + one).status, 204);
  const ManageReply left = user.get(path);
  EXPECT_EQ(left.body.at("messages").as_array().size(), 2U);
  EXPECT_EQ(left.at("/current_message"), root);
  EXPECT_EQ(user.call("POST", path + "/messages", R"({"role":"user","text":"x","parent_id":"gone"})").status,
            404);
  EXPECT_EQ(user.call("DELETE", "/api/v1/chat-folders/" + folder).status, 204);
  EXPECT_EQ(user.get(path).at("/folder_id"), "null");
  EXPECT_EQ(owner().call("DELETE", "/api/v1/users/admin@x.org").status, 409);
}

// For the sanitizers: what a list is read from may be replaced while it is read.
TEST_F(ManagementTest, lists_may_change_while_they_are_read) {
  start();
  ModelNames& names = server_->management().names();
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    while (!stop) {
      for (const Alias& alias : names.aliases()) EXPECT_EQ(alias.model, "a model with a long name indeed");
      for (const Profile& profile : names.profiles()) EXPECT_EQ(profile.model, "a model with a long name");
      EXPECT_LE(server_->management().accounts().users().size(), 1U);
    }
  });
  for (int i = 0; i < 20; ++i) {
    const std::string number = std::to_string(i);
    EXPECT_TRUE(names.set_alias({"alias" + number, "a model with a long name indeed"}).ok());
    Profile profile;
    profile.name = "profile" + number;
    profile.model = "a model with a long name";
    EXPECT_TRUE(names.create(std::move(profile)).ok());
    if (i == 10) admin();
  }
  stop = true;
  reader.join();
  EXPECT_EQ(names.aliases().size(), 20U);
  EXPECT_EQ(names.profiles().size(), 20U);
}

TEST_F(ManagementTest, damage_is_told_at_the_start) {
  start();
  server_.reset();
  std::ofstream(folder_ / "secret.key") << "x\n";
  EXPECT_THAT(Management::open({.state_folder = folder_}).error().message, HasSubstr("secret.key"));
  fs::remove(folder_ / "secret.key");
  for (const char* end : {"", "-wal", "-shm"}) fs::remove(folder_ / (std::string("mlxd.db") + end));
  std::ofstream(folder_ / "mlxd.db") << std::string(5000, '?');
  EXPECT_THAT(Management::open({.state_folder = folder_}).error().message, HasSubstr("mlxd.db is damaged"));
}

}  // namespace
}  // namespace mlxd
