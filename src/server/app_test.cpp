#include "server/app.h"

#include <gtest/gtest.h>

#include "http/client.h"
#include "http/testing/raw_client.h"
#include "model/testing/synthetic_model.h"
#include "server/runtime_file.h"
#include "server/testing/manage_client.h"

namespace mlxd {
namespace {

TEST(App, serves_a_snapshot_of_the_hub_cache_by_its_repository_and_others_by_their_folder) {
  testing::TemporaryFolder cache;
  const std::filesystem::path snapshot = cache.path() / "models--org--some--name" / "snapshots" / "0123abc";
  const std::filesystem::path plain = cache.path() / "plain";
  for (const auto& folder : {snapshot, plain}) ASSERT_TRUE(testing::write_synthetic_model(folder, {}).ok());
  AppOptions options;
  options.port = 0;
  options.models = {snapshot, plain};
  options.threads = 1;
  options.log_level = "off";
  const auto app = App::start(std::move(options));
  ASSERT_TRUE(app.ok()) << app.error().message;
  const auto client = http::Client::create((*app)->url()).take_value();
  for (const char* name : {"org/some--name", "plain"}) {
    const auto answer = client.post("/v1/completions",
                                    R"({"prompt":"a","max_tokens":1,"model":")" + std::string(name) + "\"}");
    ASSERT_TRUE(answer.ok()) << answer.error().message;
    EXPECT_EQ(answer->status, 200) << answer->body;
    EXPECT_NE(answer->body.find(R"("model":")" + std::string(name)), std::string::npos) << answer->body;
    EXPECT_EQ(client.get("/v1/models/" + std::string(name))->status, 200);
  }
}

TEST(App, follows_its_time_outs_while_it_runs) {
  testing::TemporaryFolder home;
  AppOptions options;
  options.port = 0;
  options.threads = 1;
  options.log_level = "off";
  options.idle_timeout = std::chrono::hours(24);
  options.state_folder = home.path();
  const auto app = App::start(std::move(options));
  ASSERT_TRUE(app.ok()) << app.error().message;
  const auto running = read_runtime_file(home.path());
  ASSERT_TRUE(running.has_value());
  const auto admin = testing::ManageCaller::bearer((*app)->port(), running->token);
  const testing::ManageReply changed = admin.call("PATCH", "/api/v1/settings", R"({"idle-timeout":1})");
  ASSERT_EQ(changed.status, 200) << changed.raw;
  http::testing::RawClient idle((*app)->port());
  EXPECT_TRUE(idle.at_end());
  for (const char* name : {"request-timeout", "batch-timeout", "idle-timeout", "hub-timeout"})
    EXPECT_NE(changed.raw.find('"' + std::string(name) + '"'), std::string::npos);
  EXPECT_EQ(admin.call("PATCH", "/api/v1/settings", R"({"idle-timeout":0})").status, 400);
}

}  // namespace
}  // namespace mlxd
