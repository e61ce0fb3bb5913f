// /api/v1/servers and what the pool does to requests, over HTTP with models whose answers are known.
#include "server/pool_handlers.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <future>

#include "http/client.h"
#include "http/testing/raw_client.h"
#include "server/api_server.h"
#include "server/testing/scripted_model.h"

namespace mlxd {
namespace {

namespace json = boost::json;
using http::testing::RawClient;
using testing::Gate;
using testing::kAnswer;
using testing::make_scripted_model;

class PoolHandlersTest : public ::testing::Test {
 protected:
  // Folders a, b and org/c; two fit beside each other, three do not.
  void start(PoolSettings settings = {}) {
    settings.budget_bytes = 2500;
    for (const char* name : {"a", "b", "c"})
      ASSERT_TRUE(testing::write_synthetic_model(folder_.path() / name, {}).ok());
    const auto snapshot = folder_.path() / "models--org--d" / "snapshots" / "0123";
    ASSERT_TRUE(testing::write_synthetic_model(snapshot, {}).ok());
    ApiServer::Options options;
    options.models_folder = folder_.path();
    options.pool = testing::scripted_pool(
        [this](const std::filesystem::path& path) -> Result<ServedModelPtr> {
          loading_.pass();
          if (fails_) return corrupt_data("weights of " + path.filename().string() + " are torn");
          return make_scripted_model({.name = path.filename() == "0123" ? "org/d" : path.filename().string(),
                                      .on_submit = [this](const StepBatch&) -> Result<void> {
                                        steps_.pass();
                                        return {};
                                      }});
        },
        settings);
    options.management = Management::open({.owner_token = "owner-token"}).take_value();
    server_ = ApiServer::start(std::move(options)).take_value();
    ASSERT_TRUE(server_->models().add_folder(snapshot).ok());
    server_->set_ready();
  }
  void TearDown() override {
    loading_.open();
    steps_.open();
    server_.reset();
  }

  http::Client client() const {
    http::Client::Options options;
    options.headers.add("Authorization", "Bearer owner-token");
    return http::Client::create("http://127.0.0.1:" + std::to_string(server_->http().port()),
                                std::move(options))
        .take_value();
  }
  json::value call(std::string_view method, std::string_view path, std::string_view body, int status) const {
    const auto response = client().send(method, path, body);
    EXPECT_TRUE(response.ok());
    if (!response.ok()) return nullptr;
    EXPECT_EQ(response->status, status) << response->body;
    const std::string* type = response->headers.find("Content-Type");
    if (status >= 400 && path.starts_with("/api/")) {
      EXPECT_EQ(type == nullptr ? "" : *type, "application/problem+json");
    }
    json::error_code code;
    return json::parse(response->body, code);
  }
  json::value complete(const std::string& model, const std::string& more = {}, int status = 200) const {
    return call("POST", "/v1/completions",
                R"({"model":")" + model + R"(","prompt":"|","temperature":0,"max_tokens":1000)" + more + "}",
                status);
  }
  std::string state(const std::string& model) const {
    return std::string(call("GET", "/api/v1/servers/" + model, "", 200).at("state").as_string());
  }
  void wait_for(const std::string& model, const std::string& wanted) const {
    for (int i = 0; i < 20000 && state(model) != wanted; ++i) {
    }
    EXPECT_EQ(state(model), wanted);
  }

  testing::TemporaryFolder folder_;
  Gate loading_, steps_;
  std::atomic<bool> fails_{false};
  std::unique_ptr<ApiServer> server_;
};

TEST_F(PoolHandlersTest, loads_on_demand_and_swaps) {
  loading_.open();
  steps_.open();
  start({.settle = std::chrono::milliseconds(0)});
  EXPECT_EQ(state("a"), "unloaded");
  for (const char* model : {"a", "b", "c", "org/d", "a"})
    EXPECT_EQ(complete(model).at("choices").at(0).at("text"), json::value(std::string(kAnswer)));
  const json::value pool = call("GET", "/api/v1/servers", "", 200);
  EXPECT_EQ(pool.at("budget").at("bytes"), 2500);
  EXPECT_EQ(pool.at("budget").at("reserved_bytes"), 2000);
  EXPECT_EQ(state("a"), "ready");
  EXPECT_EQ(state("b"), "unloaded");
  EXPECT_EQ(call("GET", "/api/v1/servers/a", "", 200).at("loads"), 2);
  EXPECT_EQ(call("GET", "/api/v1/servers/a", "", 200).at("requests"), 2);
}

TEST_F(PoolHandlersTest, a_late_listener_sees_a_load_whole) {
  steps_.open();
  start();
  EXPECT_EQ(call("POST", "/api/v1/servers", R"({"model":"org/d"})", 202).at("model"), "org/d");
  RawClient early(server_->http().port());
  early.send("GET /api/v1/servers/org/d/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  wait_for("org/d", "loading");
  loading_.open();
  wait_for("org/d", "ready");
  const auto seen = early.read_response();
  EXPECT_EQ(seen.header("content-type"), "text/event-stream");
  for (const char* part : {R"("step":"waiting")", R"("step":"reading")", R"("step":"ready")"})
    EXPECT_NE(seen.body.find(part), std::string::npos) << part << " in " << seen.body;
  RawClient late(server_->http().port());
  late.send("GET /api/v1/servers/org/d/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(late.read_response().body, seen.body);
  RawClient none(server_->http().port());
  none.send("GET /api/v1/servers/a/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_NE(none.read_response().body.find(R"("step":"unloaded")"), std::string::npos);
}

TEST_F(PoolHandlersTest, everyone_hears_of_loads_and_of_what_administrators_change) {
  start();
  loading_.open();
  RawClient listener(server_->http().port());
  listener.send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  const auto read_until = [&listener](std::string_view part) {
    EXPECT_TRUE(listener.read_until(part).ends_with(part)) << part;
  };
  read_until("event: downloads");
  call("POST", "/api/v1/servers", R"({"model":"a"})", 202);
  read_until(R"(data: {"model":"a","step":"waiting")");
  read_until(R"(data: {"model":"a","step":"ready")");
  wait_for("a", "ready");
  call("DELETE", "/api/v1/servers/a", "", 200);
  read_until(R"(data: {"model":"a","step":"unloaded"})");
  call("POST", "/api/v1/profiles", R"({"name":"p","model":"a"})", 201);
  read_until("event: profiles\ndata: {\"changed\":true}");
  call("PATCH", "/api/v1/settings", R"({"log-level":"info"})", 200);
  read_until("event: settings");
  server_->begin_drain();
}

TEST_F(PoolHandlersTest, a_failed_load_answers_all_and_is_told_of) {
  steps_.open();
  start();
  fails_ = true;
  std::vector<std::future<json::value>> answers;
  for (int i = 0; i < 4; ++i)
    answers.push_back(std::async(std::launch::async, [this] { return complete("a", "", 500); }));
  loading_.open();
  for (auto& answer : answers) EXPECT_EQ(answer.get().at("error").at("message"), "weights of a are torn");
  EXPECT_EQ(state("a"), "failed");
  const json::value server = call("GET", "/api/v1/servers/a", "", 200);
  EXPECT_EQ(server.at("last_error").at("message"), "weights of a are torn");
  EXPECT_EQ(server.at("last_error").at("code"), "corrupt_data");
  EXPECT_EQ(server.at("progress").at("step"), "failed");
  EXPECT_EQ(call("POST", "/api/v1/servers", R"({"model":"a"})", 500).at("detail"), "weights of a are torn");
}

TEST_F(PoolHandlersTest, unloading_waits_for_what_runs_or_ends_it) {
  loading_.open();
  start();
  auto running = std::async(std::launch::async, [this] { return complete("a"); });
  wait_for("a", "ready");
  for (int i = 0; i < 20000; ++i) {
    if (call("GET", "/api/v1/servers/a", "", 200).at("in_use") == 1) break;
  }
  auto unloading =
      std::async(std::launch::async, [this] { return call("DELETE", "/api/v1/servers/a", "", 200); });
  steps_.open();
  EXPECT_EQ(running.get().at("choices").at(0).at("text"), json::value(std::string(kAnswer)));
  EXPECT_EQ(unloading.get().at("state"), "unloaded");
  EXPECT_EQ(call("DELETE", "/api/v1/servers/a", "", 404).at("detail"), "model 'a' is not loaded");

  // 'x' for ever, until it is cut: the stream ends with an error, never silently.
  RawClient endless(server_->http().port());
  const std::string body = R"({"model":"a","prompt":"L|","temperature":0,"max_tokens":4000,"stream":true})";
  endless.send(
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: "
      "application/json\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body);
  wait_for("a", "ready");
  for (int i = 0; i < 20000; ++i) {
    if (call("GET", "/api/v1/servers/a", "", 200).at("running") == 1) break;
  }
  EXPECT_EQ(call("DELETE", "/api/v1/servers/a?mode=cancel", "", 200).at("state"), "unloaded");
  EXPECT_NE(endless.read_response().body.find("model 'a' was unloaded while it answered"), std::string::npos);
  EXPECT_EQ(call("DELETE", "/api/v1/servers/a?mode=later", "", 400).at("field"), "mode");
}

TEST_F(PoolHandlersTest, pins_by_ids_with_slashes_and_protects) {
  loading_.open();
  steps_.open();
  start({.settle = std::chrono::milliseconds(0)});
  EXPECT_EQ(call("POST", "/api/v1/servers/org/d/pin", "{}", 200).at("pinned"), true);
  complete("org/d");
  complete("a");
  complete("b");
  EXPECT_EQ(state("org/d"), "ready");
  EXPECT_EQ(call("POST", "/api/v1/servers/org/d/unpin", "{}", 200).at("pinned"), false);
  EXPECT_EQ(call("POST", "/api/v1/servers/org/d", "{}", 404).at("status"), 404);
  EXPECT_EQ(call("POST", "/api/v1/servers/nothing/pin", "{}", 404).at("code"), "not_found");
}

TEST_F(PoolHandlersTest, keeps_a_model_as_long_as_a_request_says) {
  loading_.open();
  steps_.open();
  start();
  complete("a", R"(,"keep_alive":"10m")");
  const json::value server = call("GET", "/api/v1/servers/a", "", 200);
  EXPECT_GT(server.at("keep_alive_left_s").to_number<double>(), 500.0);
  complete("a", R"(,"keep_alive":0)");
  wait_for("a", "unloaded");
  complete("a", R"(,"keep_alive":-1)");
  EXPECT_EQ(state("a"), "ready");
  EXPECT_EQ(complete("a", R"(,"keep_alive":"soon")", 400).at("error").at("param"), "keep_alive");
}

TEST_F(PoolHandlersTest, changes_its_settings_while_it_runs) {
  loading_.open();
  steps_.open();
  start({.settle = std::chrono::milliseconds(0)});
  complete("a");
  complete("b");
  const json::value pool =
      call("PATCH", "/api/v1/servers",
           R"({"memory":1500,"eviction":"lfu","keep_alive":"5m","swap_wait":"2s"})", 200);
  EXPECT_EQ(pool.at("budget").at("bytes"), 1500);
  EXPECT_EQ(pool.at("settings").at("eviction"), "lfu");
  EXPECT_EQ(pool.at("settings").at("keep_alive_s").to_number<double>(), 300.0);
  // The next start has them too.
  const auto kept = server_->management().settings().now();
  EXPECT_EQ(kept->memory().bytes, 1500U);
  EXPECT_EQ(kept->eviction(), "lfu");
  EXPECT_EQ(kept->keep_alive(), std::chrono::minutes(5));
  EXPECT_EQ(kept->swap_wait(), std::chrono::seconds(2));
  wait_for("a", "unloaded");
  EXPECT_EQ(state("b"), "ready");
  EXPECT_EQ(call("PATCH", "/api/v1/servers", R"({"memory":"900 hats"})", 400).at("field"), "memory");
  call("POST", "/api/v1/servers/b/pin", "{}", 200);
  EXPECT_EQ(call("PATCH", "/api/v1/servers", R"({"memory":500})", 503).at("code"), "out_of_memory");
  const json::value refused = complete("a", "", 503);
  EXPECT_NE(std::string(refused.at("error").at("message").as_string()).find("held by pinned ones"),
            std::string::npos);
}

}  // namespace
}  // namespace mlxd
