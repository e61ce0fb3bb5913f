// What requests share over HTTP, what they are told of it, and which way they go when there are many.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "http/sse.h"
#include "http/testing/raw_client.h"
#include "server/api_server.h"
#include "server/client_directory.h"
#include "server/testing/scripted_model.h"

namespace mlxd {
namespace {

namespace json = boost::json;
using http::testing::RawClient;
using testing::Gate;
using testing::make_scripted_model;
using testing::ScriptedModelOptions;

class GenerationSharing : public ::testing::Test {
 protected:
  void serve(ScriptedModelOptions model = {}, ApiServer::Options options = {}) {
    options.pool = testing::scripted_pool();
    server_ = ApiServer::start(std::move(options)).take_value();
    model_ = make_scripted_model(std::move(model));
    ASSERT_TRUE(server_->models().put(model_).ok());
    server_->set_ready();
  }
  void TearDown() override {
    gate_.open();
    server_.reset();
    model_.reset();
  }

  RawClient raw() const { return RawClient(server_->http().port()); }
  json::value post(const std::string& body, const std::string& headers = {}, int status = 200,
                   const std::string& path = "/v1/completions") const {
    const auto response = raw().request("POST", path, body, headers);
    EXPECT_EQ(response.status, status) << response.body;
    json::error_code code;
    return json::parse(response.body, code);
  }
  static std::string completion(const std::string& prompt, const std::string& more = {}) {
    return R"({"model":"scripted","temperature":0,"max_tokens":4,"prompt":")" + prompt + '"' + more + "}";
  }
  std::int64_t cached(const std::string& body, const std::string& headers = {}) const {
    return post(body, headers)
        .at_pointer("/usage/prompt_tokens_details/cached_tokens")
        .to_number<std::int64_t>();
  }
  bool eventually(const std::function<bool(const EngineStats&)>& condition) const {
    for (int i = 0; i < 20000; ++i) {
      if (condition(model_->engine->stats())) return true;
      raw().request("GET", "/healthz");
    }
    return false;
  }

  Gate gate_;
  std::unique_ptr<ApiServer> server_;
  ServedModelPtr model_;
  const std::string text_ = std::string(100, 'a') + std::string(60, 'b') + '|';
};

TEST_F(GenerationSharing, counts_the_prompt_tokens_that_were_there) {
  serve();
  EXPECT_EQ(cached(completion(text_)), 0);
  EXPECT_EQ(cached(completion(text_)), 160);
  EXPECT_EQ(cached(completion(std::string(100, 'a') + "cc|")), 100);
  EXPECT_EQ(cached(completion("zz|")), 0);
  // Each of several prompts; a prompt counts once for all its choices.
  EXPECT_EQ(
      cached(R"({"model":"scripted","max_tokens":2,"n":3,"prompt":[")" + text_ + R"(",")" + text_ + "\"]}"),
      320);
  const std::string chat =
      R"({"model":"scripted","temperature":0,"max_tokens":2,"messages":[{"role":"user","content":")" + text_ +
      "\"}]}";
  const auto chat_cached = [&] {
    return post(chat, {}, 200, "/v1/chat/completions")
        .at_pointer("/usage/prompt_tokens_details/cached_tokens")
        .to_number<std::int64_t>();
  };
  chat_cached();
  EXPECT_GT(chat_cached(), 160);
}

TEST_F(GenerationSharing, a_scored_prompt_takes_nothing_from_the_cache_and_leaves_itself_there) {
  serve();
  const std::string scored = R"(,"echo":true,"logprobs":1)";
  EXPECT_EQ(cached(completion(text_, scored)), 0);
  EXPECT_EQ(cached(completion(text_, scored)), 0);
  EXPECT_EQ(cached(completion(text_)), 160);
  const json::value cache =
      post(completion(text_, scored), "X-MLXD-Explain-Cache: 1\r\n").at_pointer("/mlxd/cache");
  EXPECT_EQ(cache.at("outcome").as_string(), "not_used");
  EXPECT_EQ(cache.at("cached_tokens").to_number<int>(), 0);
}

TEST_F(GenerationSharing, counts_them_in_streams_too) {
  serve();
  const std::string body = completion(text_, R"(,"stream":true,"stream_options":{"include_usage":true})");
  EXPECT_NE(raw().request("POST", "/v1/completions", body).body.find(R"("cached_tokens":0)"),
            std::string::npos);
  EXPECT_NE(raw().request("POST", "/v1/completions", body).body.find(R"("cached_tokens":160)"),
            std::string::npos);
}

TEST_F(GenerationSharing, salts_keep_caches_apart) {
  serve();
  EXPECT_EQ(cached(completion(text_, R"(,"cache_salt":"mine")")), 0);
  EXPECT_EQ(cached(completion(text_)), 0);
  EXPECT_EQ(cached(completion(text_, R"(,"cache_salt":"mine")")), 160);
  post(completion(text_, R"(,"cache_salt":"")"), {}, 400);
  post(completion(text_, R"(,"cache_salt":7)"), {}, 400);
  post(completion(text_, R"(,"cache_salt":")" + std::string(257, 's') + '"'), {}, 400);
}

TEST_F(GenerationSharing, explains_the_cache_to_those_who_ask) {
  serve();
  const std::string ask = "X-MLXD-Explain-Cache: 1\r\n";
  const std::string other = std::string(100, 'a') + "cc|";
  EXPECT_FALSE(post(completion(text_)).as_object().contains("mlxd"));
  json::value cache = post(completion(text_), ask).at_pointer("/mlxd/cache");
  EXPECT_EQ(cache.at("outcome").as_string(), "whole_prompt_cached");
  EXPECT_EQ(cache.at("cached_tokens").to_number<int>(), 160);
  EXPECT_EQ(cache.at("prompt_tokens").to_number<int>(), 161);
  cache = post(completion(other), ask).at_pointer("/mlxd/cache");
  EXPECT_EQ(cache.at("outcome").as_string(), "diverged");
  EXPECT_EQ(cache.at("position").to_number<int>(), 100);
  EXPECT_EQ(cache.at("prompt_before").as_string(), std::string(16, 'a'));
  EXPECT_EQ(cache.at("prompt_after").as_string(), "cc|");
  EXPECT_EQ(cache.at("cached_after").as_string(), std::string(16, 'b'));
  // Another client learns where, not what.
  cache = post(completion(std::string(100, 'a') + "dd|"), ask + "Authorization: Bearer somebody-else\r\n")
              .at_pointer("/mlxd/cache");
  EXPECT_EQ(cache.at("position").to_number<int>(), 100);
  EXPECT_TRUE(cache.at("cached_after").is_null());
  cache = post(completion("zz|"), ask).at_pointer("/mlxd/cache");
  EXPECT_EQ(cache.at("outcome").as_string(), "nothing_cached");
  // One for each prompt, and in the last chunk of a stream.
  EXPECT_EQ(post(R"({"model":"scripted","max_tokens":2,"prompt":["ab|","cd|"]})", ask)
                .at_pointer("/mlxd/cache")
                .as_array()
                .size(),
            2U);
  const std::string streamed =
      raw().request("POST", "/v1/completions", completion(text_, R"(,"stream":true)"), ask).body;
  http::SseParser parser;
  parser.push(streamed);
  std::string event, last, before;
  while (parser.next(event)) {
    before = last;
    last = event;
  }
  EXPECT_EQ(last, "[DONE]");
  EXPECT_EQ(json::parse(before).at_pointer("/mlxd/cache/cached_tokens").to_number<int>(), 160);
}

TEST_F(GenerationSharing, the_batch_routes_go_last) {
  ScriptedModelOptions model;
  model.max_running = 1;
  model.on_submit = [this](const StepBatch&) -> Result<void> {
    gate_.pass();
    return {};
  };
  serve(std::move(model));
  const auto send = [&](const std::string& path) {
    RawClient client = raw();
    client.send(RawClient::message("POST", path, completion("ab|")));
    return client;
  };
  RawClient first = send("/v1/completions");
  ASSERT_TRUE(eventually([](const EngineStats& s) { return s.running == 1 || s.waiting == 1; }));
  RawClient low = send("/v1/batch/completions");
  ASSERT_TRUE(eventually([](const EngineStats& s) { return s.running + s.waiting == 2; }));
  RawClient normal = send("/v1/completions");
  ASSERT_TRUE(eventually([](const EngineStats& s) { return s.running + s.waiting == 3; }));
  gate_.open();
  EXPECT_EQ(first.read_response().status, 200);
  EXPECT_EQ(normal.read_response().status, 200);
  EXPECT_EQ(low.read_response().status, 200);
  EXPECT_EQ(post(R"({"model":"scripted","messages":[{"role":"user","content":"Hi"}]})", {}, 200,
                 "/v1/batch/chat/completions")
                .at("object")
                .as_string(),
            "chat.completion");
}

TEST_F(GenerationSharing, ends_what_takes_longer_than_its_time) {
  ApiServer::Options options;
  options.request_timeout = std::chrono::seconds(1);
  serve({.context_tokens = 1 << 30, .num_pages = 1 << 16}, std::move(options));
  const std::string endless = R"({"model":"scripted","temperature":0,"max_tokens":2000000,"prompt":"L|")";
  const json::value whole = post(endless + "}", {}, 504);
  EXPECT_NE(std::string(whole.at_pointer("/error/message").as_string()).find("time limit"),
            std::string::npos);
  const auto streamed = raw().request("POST", "/v1/completions", endless + R"(,"stream":true})");
  EXPECT_EQ(streamed.status, 200);
  EXPECT_NE(streamed.body.find("time limit"), std::string::npos);
  EXPECT_TRUE(eventually([](const EngineStats& s) { return s.requests_expired == 2 && s.running == 0; }));
}

TEST_F(GenerationSharing, gives_batches_a_time_of_their_own) {
  ApiServer::Options options;
  options.batch_timeout = std::chrono::seconds(1);
  serve({.context_tokens = 1 << 30, .num_pages = 1 << 16}, std::move(options));
  const std::string endless = R"({"model":"scripted","temperature":0,"max_tokens":2000000,"prompt":"L|"})";
  const json::value ended = post(endless, {}, 504, "/v1/batch/completions");
  EXPECT_NE(std::string(ended.at_pointer("/error/message").as_string()).find("time limit"),
            std::string::npos);
  // From now on it is the other way round.
  server_->set_timeouts(std::chrono::seconds(1), std::chrono::seconds(0));
  post(endless, {}, 504);
  EXPECT_TRUE(eventually([](const EngineStats& s) { return s.requests_expired == 2 && s.running == 0; }));
}

TEST(ClientDirectory, knows_clients_again_and_stays_bounded) {
  ClientDirectory clients(3);
  EXPECT_EQ(clients.of(""), 0U);
  const ClientId a = clients.of("Bearer a");
  const ClientId b = clients.of("Bearer b");
  EXPECT_NE(a, 0U);
  EXPECT_NE(a, b);
  EXPECT_EQ(clients.of("Bearer a"), a);
  clients.of("c");
  clients.of("d");  // b was not seen for longest
  EXPECT_EQ(clients.of("Bearer a"), a);
  EXPECT_NE(clients.of("Bearer b"), b);
  http::Headers headers;
  EXPECT_EQ(clients.of(headers), 0U);
  headers.add("X-API-Key", "Bearer a");
  EXPECT_EQ(clients.of(headers), a);
}

}  // namespace
}  // namespace mlxd
