#include "server/app.h"

#include <gtest/gtest.h>

#include "http/client.h"
#include "model/testing/synthetic_model.h"

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

}  // namespace
}  // namespace mlxd
