// Adapters through HTTP, on a tiny real model.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <filesystem>
#include <future>
#include <string>
#include <vector>

#include "http/client.h"
#include "model/testing/synthetic_adapter.h"
#include "server/app.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

class AdapterServer : public ::testing::Test {
 protected:
  void SetUp() override {
    const testing::SyntheticModelOptions model;
    ASSERT_TRUE(testing::write_synthetic_model(folder_.path() / "models" / "tiny", model).ok());
    ASSERT_TRUE(testing::write_synthetic_model(folder_.path() / "models" / "a+b", model).ok());
    const auto write = [&](const fs::path& folder, double scale) {
      ASSERT_TRUE(testing::write_synthetic_adapter(folder, model, {.scale = scale}).ok());
    };
    write(folder_.path() / "models" / "tiny" / "adapters" / "one", 2.0);
    write(folder_.path() / "models" / "tiny" / "adapters" / "two", -2.0);
    write(folder_.path() / "models" / "a+b" / "adapters" / "c", 2.0);
    write(folder_.path() / "named", 1.0);
    ASSERT_TRUE(
        testing::write_synthetic_adapter(folder_.path() / "home" / "wide", {.hidden_size = 128}, {}).ok());
    AppOptions options;
    options.port = 0;
    options.models = {folder_.path() / "models" / "tiny"};
    options.models_folder = folder_.path() / "models";
    options.adapters.named = {{"given", folder_.path() / "named"}};
    options.adapters.shared_folder = folder_.path() / "home";
    options.threads = 1;
    options.log_level = "off";
    auto app = App::start(std::move(options));
    ASSERT_TRUE(app.ok()) << app.error().message;
    app_ = app.take_value();
  }

  json::value post(const std::string& fields, int status = 200, const char* path = "/v1/completions") const {
    const auto client = http::Client::create(app_->url()).take_value();
    const auto answer = client.post(path, "{" + fields + "}");
    EXPECT_TRUE(answer.ok()) << answer.error().message;
    if (!answer.ok()) return nullptr;
    EXPECT_EQ(answer->status, status) << answer->body;
    return json::parse(answer->body);
  }
  static std::string asking(const std::string& model, const std::string& more = {}) {
    return R"("model":")" + model + R"(","temperature":0,"logprobs":1,"max_tokens":24,"prompt":")" +
           std::string(70, 'q') + "\"" + more;
  }
  /// The text and how probable each token was: of random weights texts may all be replacement characters.
  static std::string text_of(const json::value& answer) {
    const json::value& choice = answer.at("choices").at(0);
    return std::string(choice.at("text").as_string()) +
           json::serialize(choice.at("logprobs").at("token_logprobs"));
  }
  static std::int64_t cached(const json::value& answer) {
    return answer.at("usage").at("prompt_tokens_details").at("cached_tokens").as_int64();
  }
  static std::string message_of(const json::value& answer) {
    return std::string(answer.at("error").at("message").as_string());
  }

  testing::TemporaryFolder folder_;
  std::unique_ptr<App> app_;
};

TEST_F(AdapterServer, chooses_per_request_and_never_shares_cached_text) {
  const json::value plain = post(asking("tiny"));
  const json::value one = post(asking("tiny+one"));
  const json::value two = post(asking("tiny", R"(,"adapter":"two")"));
  EXPECT_EQ(plain.at("model"), "tiny");
  EXPECT_EQ(one.at("model"), "tiny+one");
  EXPECT_EQ(two.at("model"), "tiny+two");
  EXPECT_NE(plain.at("system_fingerprint"), one.at("system_fingerprint"));
  EXPECT_NE(text_of(plain), text_of(one));
  EXPECT_NE(text_of(one), text_of(two));
  for (const json::value* first : {&plain, &one, &two}) EXPECT_EQ(cached(*first), 0);
  // Both ways of asking are one.
  for (const std::string& again : {asking("tiny+one"), asking("tiny", R"(,"adapter":"one")"),
                                   asking("tiny+one", R"(,"adapter":"one")")}) {
    const json::value answer = post(again);
    EXPECT_EQ(text_of(answer), text_of(one));
    EXPECT_EQ(answer.at("model"), "tiny+one");
    EXPECT_GT(cached(answer), 0);
  }
  const json::value plain_again = post(asking("tiny", R"(,"adapter":null)"));
  EXPECT_EQ(text_of(plain_again), text_of(plain));
  EXPECT_GT(cached(plain_again), 0);
}

TEST_F(AdapterServer, serves_several_at_once_as_each_alone) {
  const std::vector<std::string> names{"tiny", "tiny+one", "tiny+two", "tiny+given"};
  std::vector<std::string> alone;
  for (const std::string& name : names)
    alone.push_back(text_of(post(asking(name, R"(,"cache_salt":"alone")"))));
  std::vector<std::future<std::string>> together;
  for (std::size_t i = 0; i < 16; ++i) {
    together.push_back(std::async(std::launch::async, [this, &names, i] {
      const std::string salt = R"(,"cache_salt":")" + std::to_string(i / names.size()) + "\"";
      return text_of(post(asking(names[i % names.size()], salt)));
    }));
  }
  for (std::size_t i = 0; i < together.size(); ++i)
    EXPECT_EQ(together[i].get(), alone[i % names.size()]) << i;
}

TEST_F(AdapterServer, chats_with_adapters) {
  const auto ask = [&](const std::string& model) {
    const json::value answer = post(R"("model":")" + model +
                                        R"(","temperature":0,"max_tokens":16,"messages":[{"role":"user",)"
                                        R"("content":"Hello"}])",
                                    200, "/v1/chat/completions");
    return json::serialize(answer.at("choices").at(0).at("message").at("content"));
  };
  EXPECT_NE(ask("tiny"), ask("tiny+one"));
}

TEST_F(AdapterServer, says_what_is_wrong) {
  json::value answer = post(asking("tiny+nine"), 404);
  for (const char* part : {"nine", "one", "two", "given"})
    EXPECT_NE(message_of(answer).find(part), std::string::npos) << message_of(answer);
  answer = post(asking("tiny", R"(,"adapter":"../adapters/one")"), 404);
  answer = post(asking("tiny+one", R"(,"adapter":"two")"), 400);
  EXPECT_EQ(answer.at("error").at("param"), "adapter");
  answer = post(asking("tiny", R"(,"adapter":"")"), 400);
  EXPECT_EQ(answer.at("error").at("param"), "adapter");
  answer = post(asking("tiny", R"(,"adapter":7)"), 400);
  answer = post(asking("tony+one"), 404);
  EXPECT_NE(message_of(answer).find("tiny"), std::string::npos) << message_of(answer);
  // One that is there but of another model.
  answer = post(asking("tiny+wide"), 500);
  EXPECT_NE(message_of(answer).find("shape"), std::string::npos) << message_of(answer);
  EXPECT_EQ(text_of(post(asking("tiny"))), text_of(post(asking("tiny"))));
}

TEST_F(AdapterServer, lists_adapters_with_their_models) {
  const auto client = http::Client::create(app_->url()).take_value();
  const auto names = [&] {
    std::string list;
    const json::value reply = json::parse(client.get("/v1/models")->body);
    for (const json::value& model : reply.at("data").as_array()) {
      list += std::string(model.at("id").as_string()) + " ";
      if (const json::value* parent = model.as_object().if_contains("parent"))
        list += "of " + std::string(parent->as_string()) + " ";
    }
    return list;
  };
  // Of a model that is not loaded only its own are known to fit.
  EXPECT_EQ(names(), "a+b a+b+c of a+b tiny tiny+given of tiny tiny+one of tiny tiny+two of tiny ");
  EXPECT_EQ(client.get("/v1/models/tiny+one")->status, 200);
  EXPECT_EQ(client.get("/v1/models/a+b+c")->status, 200);
  EXPECT_EQ(client.get("/v1/models/tiny+nine")->status, 404);
  EXPECT_EQ(client.get("/v1/models/tiny+wide")->status, 404);
  // A name with a plus of its own, loaded at its first use together with its adapter.
  EXPECT_EQ(post(asking("a+b+c")).at("model"), "a+b+c");
  EXPECT_EQ(post(asking("a+b")).at("model"), "a+b");
  EXPECT_EQ(names(),
            "a+b a+b+c of a+b a+b+given of a+b tiny tiny+given of tiny tiny+one of tiny tiny+two of tiny ");
}

}  // namespace
}  // namespace mlxd
