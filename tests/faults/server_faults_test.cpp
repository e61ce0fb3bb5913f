// What clients can do wrong, and what may not follow from it: a crash, a leak, a stall of others. On a tiny
// model with random weights, and on the one that MLXD_TEST_MODEL names if it is set.
#include <gtest/gtest.h>

#include <cstdlib>
#include <future>
#include <random>
#include <thread>

#include "http/client.h"
#include "http/testing/raw_client.h"
#include "model/testing/synthetic_model.h"
#include "server/app.h"

namespace mlxd {
namespace {

using http::testing::RawClient;
using http::testing::RawResponse;

class ServerFaults : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::path model = folder_.path() / "tiny";
    if (const char* real = std::getenv("MLXD_TEST_MODEL"); real != nullptr && *real != '\0')
      model = real;
    else
      ASSERT_TRUE(testing::write_synthetic_model(model, {}).ok());
    name_ = model.filename().string();
    AppOptions options;
    options.port = 0;
    options.models = {model};
    options.threads = 1;
    options.log_level = "off";
    options.drain_limit = http::testing::kPatience;
    auto app = App::start(std::move(options));
    ASSERT_TRUE(app.ok()) << app.error().message;
    app_ = app.take_value();
    running_ = std::async(std::launch::async, [this] { return app_->run(); });
  }
  void TearDown() override {
    if (app_ == nullptr) return;
    app_->stop();
    EXPECT_TRUE(running_.get()) << "the drain did not come to its end";
    app_.reset();
  }

  RawClient raw() const { return RawClient(app_->port()); }
  http::Client client() const { return http::Client::create(app_->url()).take_value(); }
  std::string completion(std::string_view more) const {
    return R"({"model":")" + name_ + R"(","prompt":"Once upon a time","temperature":0,)" + std::string(more) +
           "}";
  }
  std::string answer() const {
    const auto response = client().post("/v1/completions", completion(R"("max_tokens":12)"));
    EXPECT_TRUE(response.ok());
    EXPECT_EQ(response->status, 200) << response->body;
    // How much of the prompt was in the cache is no part of the answer.
    const std::size_t choices = response->body.find("\"choices\"");
    const std::size_t details = response->body.find("\"prompt_tokens_details\"");
    return choices == std::string::npos ? "" : response->body.substr(choices, details - choices);
  }
  double metric(std::string_view name) const {
    const std::string page = client().get("/metrics")->body;
    const std::size_t at = page.find("\n" + std::string(name) + "{");
    if (at == std::string::npos) return -1.0;
    return std::atof(page.c_str() + page.find("} ", at) + 2);
  }
  // Each question is a round trip, so this neither spins nor sleeps.
  bool eventually_idle() const {
    for (int i = 0; i < 5000; ++i) {
      if (metric("mlxd_sequences_running") == 0 && metric("mlxd_sequences_waiting") == 0 &&
          metric("mlxd_kv_pages_used") == 0)
        return true;
    }
    return false;
  }

  testing::TemporaryFolder folder_;
  std::string name_;
  std::unique_ptr<App> app_;
  std::future<bool> running_;
};

TEST_F(ServerFaults, garbage_and_damaged_requests_end_in_errors_and_change_nothing) {
  const std::string before = answer();
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::string valid = RawClient::message("POST", "/v1/completions", completion(R"("max_tokens":1)"));
  for (int i = 0; i < 300; ++i) {
    std::string bytes = valid;
    const auto kind = random() % 3;
    if (kind == 0) {
      bytes.resize(random() % 2000);
      for (char& c : bytes) c = static_cast<char>(random());
    } else if (kind == 1) {
      for (unsigned k = 0; k < 1 + random() % 8; ++k)
        bytes[random() % bytes.size()] = static_cast<char>(random());
    } else {
      bytes.resize(random() % bytes.size());
    }
    RawClient one = raw();
    one.send(bytes);
    one.shutdown_write();
    const RawResponse response = one.read_response();
    EXPECT_TRUE(response.status == 0 || (response.status >= 200 && response.status < 500)) << response.head;
  }
  EXPECT_EQ(answer(), before);
  EXPECT_TRUE(eventually_idle());
}

TEST_F(ServerFaults, idle_and_half_open_connections_are_harmless) {
  const std::string before = answer();
  std::vector<RawClient> open;
  for (int i = 0; i < 200; ++i) {
    open.push_back(raw());
    if (i % 3 == 1) open.back().send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Le");
    if (i % 3 == 2)
      open.back().send(
          "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
          "Content-Length: 1000\r\n\r\n{\"model\":");
  }
  EXPECT_EQ(answer(), before);
  EXPECT_EQ(open[0].request("GET", "/healthz").status, 200);
}

TEST_F(ServerFaults, a_crowd_with_leavers_gives_the_others_what_they_get_alone) {
  const std::string alone = answer();
  std::vector<std::future<std::string>> crowd;
  for (int i = 0; i < 6; ++i) crowd.push_back(std::async(std::launch::async, [this] { return answer(); }));
  for (int i = 0; i < 10; ++i) {
    RawClient leaving = raw();
    leaving.send(RawClient::message(
        "POST", "/v1/completions",
        completion(i % 2 == 0 ? R"("max_tokens":300,"stream":true)" : R"("max_tokens":300)")));
    if (i % 2 == 0) leaving.read_until("\r\n\r\n");
  }
  for (auto& one : crowd) EXPECT_EQ(one.get(), alone);
  EXPECT_TRUE(eventually_idle());
}

TEST_F(ServerFaults, streams_of_a_pipelining_client_come_whole_and_in_order) {
  RawClient one = raw();
  std::string all;
  for (int i = 0; i < 4; ++i)
    all += RawClient::message(
        "POST", "/v1/completions",
        completion(R"("max_tokens":5,"stream":)" + std::string(i % 2 == 0 ? "true" : "false")));
  one.send(all);
  for (int i = 0; i < 4; ++i) {
    const RawResponse response = one.read_response();
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body.ends_with("data: [DONE]\n\n"), i % 2 == 0) << response.body;
  }
}

TEST_F(ServerFaults, a_stopping_server_lets_the_running_stream_finish) {
  RawClient one = raw();
  one.send(RawClient::message("POST", "/v1/completions", completion(R"("max_tokens":40,"stream":true)")));
  const std::string head = one.read_until("data: ");
  EXPECT_NE(head.find("200 OK"), std::string::npos);
  app_->stop();
  const std::string rest = one.read_all();
  EXPECT_NE(rest.find("data: [DONE]\n\n"), std::string::npos);
  EXPECT_TRUE(rest.ends_with("0\r\n\r\n"));
  EXPECT_TRUE(running_.get());
  app_.reset();
}

}  // namespace
}  // namespace mlxd
