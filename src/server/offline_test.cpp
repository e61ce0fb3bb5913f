// Offline mode through HTTP: by the setting, at once and both ways, and by HF_HUB_OFFLINE.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <utility>

#include "catalog/testing/tiny_hub.h"
#include "server/api_server.h"
#include "server/testing/manage_client.h"
#include "server/testing/scripted_model.h"

namespace mlxd {
namespace {

using ::testing::HasSubstr;
using testing::ManageCaller;
using testing::ManageReply;
using testing::TinyHub;

constexpr const char* kWish = R"({"model":"org/tiny"})";

class OfflineTest : public ::testing::Test {
 protected:
  void TearDown() override {
    hub_.release();
    server_.reset();
    unsetenv("HF_ENDPOINT");
    unsetenv("HF_HUB_OFFLINE");
  }
  void start() {
    setenv("HF_ENDPOINT", hub_.endpoint().c_str(), 1);
    ApiServer::Options options;
    options.hub_cache = folder_.path() / "hub";
    options.pool = testing::scripted_pool();
    options.management = Management::open({.owner_token = "owner"}).take_value();
    server_ = ApiServer::start(std::move(options)).take_value();
    ASSERT_TRUE(server_->models().put(testing::make_scripted_model({})).ok());
    server_->set_ready();
  }
  ManageCaller owner() const { return ManageCaller::bearer(server_->http().port(), "owner"); }
  ManageReply send(const std::string& method, const std::string& path, const std::string& body = {}) const {
    return owner().call(method, path, body);
  }
  void set_offline(bool offline) const {
    ASSERT_EQ(
        send("PATCH", "/api/v1/settings", std::string(R"({"offline":)") + (offline ? "true}" : "false}"))
            .status,
        200);
  }
  /// All that asks the hub is refused, and says why.
  void expect_refusals(const std::string& because) const {
    const std::pair<const char*, std::pair<const char*, const char*>> asking[] = {
        {"GET", {"/api/v1/hub/models?search=x", ""}},
        {"GET", {"/api/v1/hub/models/org/tiny", ""}},
        {"GET", {"/api/v1/hub/variants?of=org/tiny", ""}},
        {"POST", {"/api/v1/hub/token-test", R"({"token":"hf_x"})"}},
        {"POST", {"/api/v1/downloads", kWish}},
        {"POST", {"/api/pull", kWish}},
    };
    for (const auto& [method, route] : asking) {
      const ManageReply refused = send(method, route.first, route.second);
      EXPECT_EQ(refused.status, 409) << route.first << refused.raw;
      EXPECT_THAT(refused.raw, HasSubstr("offline mode is on (" + because + ")")) << route.first;
    }
    EXPECT_EQ(send("GET", "/api/v1/downloads").at("/downloads"), "[]");
  }
  std::string download(const std::string& pointer) const {
    return send("GET", "/api/v1/downloads").at("/downloads/0" + pointer);
  }
  void wait_for(const std::string& state) const {
    for (int i = 0; i < 40000 && download("/state") != state; ++i) {
    }
    EXPECT_EQ(download("/state"), state) << download("/message");
  }

  testing::TemporaryFolder folder_;
  TinyHub hub_{{{"config.json", R"({"model_type":"llama","hidden_size":64})"},
                {"model.safetensors", std::string(300'000, 'w')}}};
  std::unique_ptr<ApiServer> server_;
};

TEST_F(OfflineTest, by_the_setting_nothing_is_asked_of_the_hub_and_all_else_goes_on) {
  start();
  EXPECT_EQ(send("GET", "/api/v1/hub/models/org/tiny").status, 200);
  set_offline(true);
  expect_refusals("the setting offline");
  EXPECT_THAT(send("POST", "/api/v1/downloads", kWish).raw, HasSubstr("mlxd config set offline false"));
  EXPECT_TRUE(hub_.offsets("model.safetensors").empty());
  EXPECT_EQ(send("GET", "/api/v1/hub/recommended").status, 200);
  EXPECT_EQ(send("GET", "/api/v1/models").status, 200);
  EXPECT_EQ(send("POST", "/v1/completions", R"({"model":"scripted","prompt":"S|"})").status, 200);
  set_offline(false);
  EXPECT_EQ(send("GET", "/api/v1/hub/models/org/tiny").status, 200);
}

TEST_F(OfflineTest, a_download_under_way_pauses_and_goes_on_later_where_it_stopped) {
  start();
  hub_.hold_after(100'000);
  EXPECT_EQ(send("POST", "/api/v1/downloads", kWish).status, 202);
  for (int i = 0; i < 40000 && hub_.offsets("model.safetensors").empty(); ++i)
    send("GET", "/api/v1/downloads");
  set_offline(true);
  wait_for("paused");
  EXPECT_THAT(download("/message"), HasSubstr("offline mode is on"));
  const std::string resume = "/api/v1/downloads/" + download("/id") + "/resume";
  EXPECT_EQ(send("POST", resume).status, 409);
  set_offline(false);
  hub_.release();
  EXPECT_EQ(send("POST", resume).status, 200);
  wait_for("done");
  EXPECT_GE(hub_.offsets("model.safetensors").size(), 2U);
  EXPECT_GT(hub_.offsets("model.safetensors").back(), 0U);
  // What has come is served whether the hub can be asked or not.
  set_offline(true);
  EXPECT_THAT(send("GET", "/v1/models").raw, HasSubstr("org/tiny"));
}

TEST_F(OfflineTest, by_the_variable_of_huggingface_hub_whatever_the_setting_says) {
  setenv("HF_HUB_OFFLINE", "1", 1);
  start();
  expect_refusals("HF_HUB_OFFLINE");
  set_offline(false);
  expect_refusals("HF_HUB_OFFLINE");
}

}  // namespace
}  // namespace mlxd
