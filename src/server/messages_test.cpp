// Anthropic's API through HTTP, with a model whose answers are known.
#include <gtest/gtest.h>

#include <atomic>
#include <boost/json.hpp>
#include <string>
#include <vector>

#include "http/testing/raw_client.h"
#include "server/api_server.h"
#include "server/testing/scripted_model.h"

namespace mlxd {
namespace {

namespace json = boost::json;
using http::testing::RawClient;
using http::testing::RawResponse;
using testing::make_scripted_model;

const std::string kCalls =
    "<think>\nHm, rain?\n</think>\n\nI look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": "
    "\"São\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": "
    "\"São\"}}\n</tool_call>";
const std::string kTools =
    R"(,"tools":[{"name":"weather","input_schema":{"type":"object","properties":{"city":{"type":"string"}}}}])";

class Messages : public ::testing::Test {
 protected:
  void serve(testing::ScriptedModelOptions model, ApiServer::Options options = {}) {
    options.pool = testing::scripted_pool();
    server_ = ApiServer::start(std::move(options)).take_value();
    model_ = make_scripted_model(std::move(model));
    ASSERT_TRUE(server_->models().put(model_).ok());
    server_->set_ready();
  }
  void serve_answer(const std::string& answer) { serve({.answer = answer}); }
  void TearDown() override {
    server_.reset();
    model_.reset();
  }

  RawResponse send(const std::string& path, const std::string& body, const std::string& headers = {}) const {
    return RawClient(server_->http().port()).request("POST", path, body, headers);
  }
  RawResponse get(const std::string& path, const std::string& headers = {}) const {
    return RawClient(server_->http().port()).request("GET", path, {}, headers);
  }
  static std::string body(const std::string& more, const std::string& text = "Weather?") {
    return R"({"model":"scripted","max_tokens":1000,"messages":[{"role":"user","content":")" + text + "\"}]" +
           more + "}";
  }
  json::value post(const std::string& more, int status = 200) const {
    const RawResponse response = send("/v1/messages?beta=true", body(more));
    EXPECT_EQ(response.status, status) << response.body;
    return json::parse(response.body);
  }

  /// A stream put together as clients do.
  static json::object put_together(const std::string& stream) {
    json::object message;
    std::string input;
    std::vector<std::string> order;
    for (std::size_t at = stream.find("event: "); at != std::string::npos;
         at = stream.find("event: ", at + 1)) {
      const std::size_t data = stream.find("\ndata: ", at);
      const json::value event = json::parse(stream.substr(data + 7, stream.find("\n\n", at) - data - 7));
      const std::string type(event.at("type").as_string());
      EXPECT_EQ(type, stream.substr(at + 7, data - at - 7));
      order.push_back(type);
      if (type == "message_start") message = event.at("message").as_object();
      if (type == "content_block_start") {
        EXPECT_EQ(event.at("index").as_int64(), std::ssize(message["content"].as_array()));
        message["content"].as_array().push_back(event.at("content_block"));
        input.clear();
      }
      if (type == "content_block_delta") {
        json::object& block = message["content"].as_array().back().as_object();
        const json::object& delta = event.at("delta").as_object();
        for (const char* key : {"text", "thinking", "signature"})
          if (delta.contains(key))
            block[key] = std::string(block[key].as_string()) + std::string(delta.at(key).as_string());
        if (delta.contains("partial_json")) input += std::string(delta.at("partial_json").as_string());
      }
      if (type == "content_block_stop" && !input.empty())
        message["content"].as_array().back().as_object()["input"] = json::parse(input);
      if (type == "message_delta") {
        for (const auto& [key, value] : event.at("delta").as_object()) message[key] = value;
        for (const auto& [key, value] : event.at("usage").as_object())
          message["usage"].as_object()[key] = value;
      }
    }
    EXPECT_EQ(order.front(), "message_start");
    EXPECT_EQ(order.at(1), "ping");
    EXPECT_EQ(order.back(), "message_stop");
    return message;
  }

  std::unique_ptr<ApiServer> server_;
  ServedModelPtr model_;
};

TEST_F(Messages, a_whole_answer_and_a_streamed_one_say_the_same) {
  serve_answer(kCalls);
  json::object whole = post(kTools).as_object();
  const json::array& content = whole.at("content").as_array();
  ASSERT_EQ(content.size(), 4U);
  EXPECT_EQ(content[0].at("type"), "thinking");
  EXPECT_EQ(content[0].at("thinking"), "Hm, rain?");
  EXPECT_FALSE(content[0].at("signature").as_string().empty());
  EXPECT_EQ(content[1].at("text"), "I look.");
  for (const int i : {2, 3}) {
    EXPECT_EQ(content[static_cast<std::size_t>(i)].at("type"), "tool_use");
    EXPECT_EQ(content[static_cast<std::size_t>(i)].at("name"), "weather");
    EXPECT_EQ(content[static_cast<std::size_t>(i)].at("input").at("city"), "São");
    EXPECT_TRUE(content[static_cast<std::size_t>(i)].at("id").as_string().starts_with("toolu_"));
  }
  EXPECT_NE(content[2].at("id"), content[3].at("id"));
  EXPECT_EQ(whole.at("stop_reason"), "tool_use");

  const RawResponse streamed = send("/v1/messages", body(kTools + R"(,"stream":true)"));
  EXPECT_EQ(streamed.header("content-type"), "text/event-stream");
  json::object message = put_together(streamed.body);
  // The second prompt was cached.
  for (json::object* each : {&whole, &message}) {
    json::object& usage = each->at("usage").as_object();
    usage["input_tokens"] =
        usage.at("input_tokens").as_int64() + usage.at("cache_read_input_tokens").as_int64();
    usage.erase("cache_read_input_tokens");
    each->erase("id");
    for (json::value& block : each->at("content").as_array()) block.as_object().erase("id");
  }
  EXPECT_EQ(json::serialize(message), json::serialize(whole));
}

TEST_F(Messages, message_start_knows_what_of_the_prompt_was_cached) {
  serve_answer("Rain.");
  const std::string question(200, 'a');
  const auto begin = [&] {
    const std::string stream = send("/v1/messages", body(R"(,"stream":true)", question)).body;
    const std::size_t data = stream.find("data: ");
    return json::parse(stream.substr(data + 6, stream.find("\n\n") - data - 6)).at_pointer("/message/usage");
  };
  const json::value cold = begin();
  EXPECT_EQ(cold.at("cache_read_input_tokens"), 0);
  EXPECT_GT(cold.at("input_tokens").as_int64(), 200);
  const json::value warm = begin();
  EXPECT_GT(warm.at("cache_read_input_tokens").as_int64(), 150);
  EXPECT_EQ(warm.at("input_tokens").as_int64() + warm.at("cache_read_input_tokens").as_int64(),
            cold.at("input_tokens").as_int64());
}

TEST_F(Messages, counting_is_what_the_request_would_use) {
  serve_answer("Rain.");
  for (const std::string& more : {std::string(), kTools, std::string(R"(,"system":"Be brief.")"),
                                  std::string(R"(,"thinking":{"type":"enabled","budget_tokens":1024})")}) {
    const RawResponse counted = send("/v1/messages/count_tokens?beta=true", body(more));
    EXPECT_EQ(counted.status, 200) << counted.body;
    EXPECT_NE(counted.header("request-id"), "(none)");
    const json::value usage = post(more).at("usage");
    EXPECT_EQ(json::parse(counted.body).at("input_tokens").as_int64(),
              usage.at("input_tokens").as_int64() + usage.at("cache_read_input_tokens").as_int64());
  }
  // Also what does not fit.
  const RawResponse counted = send("/v1/messages/count_tokens", body("", std::string(5000, 'a')));
  EXPECT_EQ(counted.status, 200) << counted.body;
  EXPECT_GT(json::parse(counted.body).at("input_tokens").as_int64(), 5000);
  const RawResponse unknown = send("/v1/messages/count", body(""));
  EXPECT_EQ(unknown.status, 404);
}

TEST_F(Messages, ends_at_a_stop_sequence_and_says_which) {
  serve_answer("One, two, three.");
  const json::value whole = post(R"(,"stop_sequences":["four","two"])");
  EXPECT_EQ(whole.at_pointer("/content/0/text"), "One, ");
  EXPECT_EQ(whole.at("stop_reason"), "stop_sequence");
  EXPECT_EQ(whole.at("stop_sequence"), "two");
  const json::object streamed =
      put_together(send("/v1/messages", body(R"(,"stream":true,"stop_sequences":["two"])")).body);
  EXPECT_EQ(streamed.at("stop_sequence"), "two");
  EXPECT_EQ(streamed.at("content").at(0).at("text"), "One, ");
}

// The model counts what it has said from the beginning of its turn.
TEST_F(Messages, an_answer_goes_on_from_a_given_beginning) {
  serve_answer("One, two, three.");
  const std::string asked =
      R"({"model":"scripted","max_tokens":100,"messages":[{"role":"user","content":"Count."},{"role":"assistant","content":"One,"}]})";
  const json::value whole = json::parse(send("/v1/messages", asked).body);
  EXPECT_EQ(whole.at_pointer("/content/0/text"), " two, three.");
  EXPECT_EQ(json::parse(send("/v1/messages/count_tokens", asked).body).at("input_tokens").as_int64(),
            whole.at_pointer("/usage/input_tokens").as_int64() +
                whole.at_pointer("/usage/cache_read_input_tokens").as_int64());
}

TEST_F(Messages, a_tool_can_be_forced_and_one_call_be_all) {
  serve_answer("Certainly!");
  const std::string tools =
      R"(,"temperature":1,"tools":[{"name":"f","input_schema":{"type":"object","properties":{"unit":{"enum":["C","F"]}},)"
      R"("required":["unit"],"additionalProperties":false}},{"name":"g","input_schema":{"type":"object","additionalProperties":false}}])";
  for (const char* choice : {R"("type":"any")", R"("type":"tool","name":"f")"}) {
    const json::value whole =
        post(tools + R"(,"tool_choice":{"disable_parallel_tool_use":true,)" + choice + "}");
    EXPECT_EQ(whole.at("stop_reason"), "tool_use");
    ASSERT_EQ(whole.at("content").as_array().size(), 1U);
    EXPECT_TRUE(whole.at_pointer("/content/0/input").is_object());
  }
  serve_answer(kCalls);
  const json::value one = post(kTools + R"(,"tool_choice":{"type":"auto","disable_parallel_tool_use":true})");
  EXPECT_EQ(one.at("content").as_array().size(), 3U);
  const json::value none = post(kTools + R"(,"tool_choice":{"type":"none"})");
  EXPECT_EQ(none.at("stop_reason"), "end_turn");
}

TEST_F(Messages, an_answer_has_the_form_that_was_asked_for) {
  serve_answer("Certainly!");
  const std::string schema =
      R"({"type":"object","properties":{"sure":{"type":"boolean"}},"required":["sure"],"additionalProperties":false})";
  const json::value whole =
      post(R"(,"output_config":{"format":{"type":"json_schema","schema":)" + schema + "}}");
  EXPECT_TRUE(json::parse(whole.at_pointer("/content/0/text").as_string()).at("sure").is_bool());
  const json::value refused =
      post(R"(,"output_config":{"format":{"type":"json_schema","schema":{"type":"strange"}}})", 400);
  EXPECT_NE(std::string(refused.at_pointer("/error/message").as_string()).find("output_config.format"),
            std::string::npos);
}

// The line changes with every request of an agent.
TEST_F(Messages, a_line_about_billing_does_not_lose_the_cached_prompt) {
  serve_answer("Rain.");
  const auto ask = [&](const std::string& hash, const std::string& instructions) {
    return post(R"(,"system":[{"type":"text","text":"x-anthropic-billing-header: cch=)" + hash +
                R"(;"},{"type":"text","text":")" + instructions + R"("}])")
        .at("usage");
  };
  const std::string instructions(300, 'i');
  EXPECT_EQ(ask("00000", instructions).at("cache_read_input_tokens"), 0);
  EXPECT_GT(ask("11111", instructions).at("cache_read_input_tokens").as_int64(), 300);
}

// A turn later: reminders come, thoughts go; what lies before them is still there.
TEST_F(Messages, a_conversation_is_reused_as_far_as_its_text_is_the_same) {
  serve_answer("<think>\nhm\n</think>\n\nRain.");
  const std::string long_text(400, 'a');
  const auto ask = [&](const std::string& messages) {
    const RawResponse response =
        send("/v1/messages", R"({"model":"scripted","max_tokens":100,"messages":[)" + messages + "]}");
    EXPECT_EQ(response.status, 200) << response.body;
    return json::parse(response.body).at("usage").at("cache_read_input_tokens").as_int64();
  };
  const std::string first = R"({"role":"user","content":")" + long_text + "\"}";
  EXPECT_EQ(ask(first), 0);
  EXPECT_GT(
      ask(first +
          R"(,{"role":"assistant","content":[{"type":"text","text":"Rain."}]},{"role":"user","content":"And?"})"),
      400);
  EXPECT_GT(
      ask(first +
          R"(,{"role":"user","content":"<system-reminder>new</system-reminder>"},{"role":"assistant","content":"Rain."},{"role":"user","content":"And?"})"),
      400);
}

TEST_F(Messages, what_the_model_cannot_do_is_let_be_and_told) {
  serve_answer("Rain.");
  const RawResponse response = send(
      "/v1/messages",
      body(
          R"(,"thinking":{"type":"adaptive"},"output_config":{"effort":"high"},"tools":[{"type":"web_search_20250305","name":"web_search"}])"));
  EXPECT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.header("x-mlxd-ignored"), "tools.web_search_20250305, output_config.effort");
}

TEST_F(Messages, a_budget_ends_the_thinking) {
  serve_answer("<think>\n" + std::string(500, 'h') + "\n</think>\n\nRain.");
  const auto thought = [&](int budget) {
    const json::value whole =
        post(R"(,"thinking":{"type":"enabled","budget_tokens":)" + std::to_string(budget) + "}");
    EXPECT_EQ(whole.at_pointer("/content/0/type"), "thinking");
    return whole.at_pointer("/content/0/thinking").as_string().size();
  };
  EXPECT_EQ(thought(1000), 500U);
  EXPECT_LT(thought(50), 51U);
}

TEST_F(Messages, errors_come_in_anthropics_form) {
  serve_answer("Rain.");
  const auto check = [](const RawResponse& response, int status, const std::string& type) {
    EXPECT_EQ(response.status, status) << response.body;
    const json::value error = json::parse(response.body);
    EXPECT_EQ(error.at("type"), "error");
    EXPECT_EQ(std::string(error.at_pointer("/error/type").as_string()), type);
    EXPECT_EQ(std::string(error.at("request_id").as_string()), response.header("request-id"));
    EXPECT_EQ(response.header("request-id"), response.header("x-request-id"));
  };
  check(send("/v1/messages", "{"), 400, "invalid_request_error");
  check(send("/v1/messages", R"({"model":"none","max_tokens":1,"messages":[{"role":"user","content":"x"}]})"),
        404, "not_found_error");
  check(send("/v1/messages", body("", std::string(5000, 'a'))), 400, "invalid_request_error");
  check(get("/v1/messages"), 405, "invalid_request_error");
  check(send("/v1/messages/nothing", "{}"), 404, "not_found_error");
  check(get("/v1/nothing", "anthropic-version: 2023-06-01\r\n"), 404, "not_found_error");
  check(get("/v1/models/none", "anthropic-version: 2023-06-01\r\n"), 404, "not_found_error");
  check(get("/v1/models?limit=0", "anthropic-version: 2023-06-01\r\n"), 400, "invalid_request_error");
  EXPECT_EQ(send("/v1/messages", body("")).header("request-id").size() > 4, true);
}

TEST_F(Messages, a_key_is_asked_for_in_the_same_form) {
  ApiServer::Options options;
  options.management = Management::open({.loopback = false}).take_value();
  serve({.answer = "Rain."}, std::move(options));
  for (const char* path : {"/v1/messages", "/v1/messages/count_tokens", "/v1/batch/messages"}) {
    const RawResponse refused = send(path, body(""), "x-api-key: wrong\r\n");
    EXPECT_EQ(refused.status, 401) << path;
    EXPECT_EQ(json::parse(refused.body).at_pointer("/error/type"), "authentication_error") << path;
  }
}

TEST_F(Messages, a_fault_in_mid_stream_is_an_event_and_the_end) {
  std::atomic<int> steps{0};
  serve({.answer = std::string(200, 'r'), .on_submit = [&steps](const StepBatch&) -> Result<void> {
           if (++steps == 100) return Error(ErrorKind::kInternal, "the device caught fire");
           return {};
         }});
  const std::string stream = send("/v1/messages", body(R"(,"stream":true)")).body;
  EXPECT_TRUE(stream.starts_with("event: message_start\n")) << stream;
  const std::size_t error = stream.find("event: error\n");
  ASSERT_NE(error, std::string::npos) << stream;
  EXPECT_NE(stream.find(R"("error":{"type":"api_error","message":)", error), std::string::npos);
  EXPECT_EQ(stream.find("event: ", error + 1), std::string::npos);
}

TEST_F(Messages, overload_is_529_with_a_time_to_come_again) {
  ApiServer::Options options;
  options.max_queued_requests = 0;
  serve({.answer = "Rain."}, std::move(options));
  const RawResponse overloaded = send("/v1/messages", body(""));
  EXPECT_EQ(overloaded.status, 529) << overloaded.body;
  EXPECT_EQ(json::parse(overloaded.body).at_pointer("/error/type"), "overloaded_error");
  EXPECT_EQ(overloaded.header("retry-after"), "1");
}

TEST_F(Messages, other_paths_have_their_own_envelopes) {
  serve_answer("Rain.");
  EXPECT_TRUE(json::parse(get("/v1/nothing").body).at("error").at("message").is_string());
  EXPECT_TRUE(json::parse(get("/api/nothing").body).at("error").is_string());
  EXPECT_EQ(get("/api/v1/nothing").header("content-type"), "application/problem+json");
}

TEST_F(Messages, models_are_listed_as_anthropic_does_when_its_version_is_named) {
  serve_answer("Rain.");
  const std::string version = "anthropic-version: 2023-06-01\r\n";
  const json::value list = json::parse(get("/v1/models?limit=5", version).body);
  EXPECT_EQ(list.at("first_id"), "scripted");
  EXPECT_EQ(list.at("has_more"), false);
  EXPECT_EQ(list.at_pointer("/data/0/type"), "model");
  EXPECT_EQ(list.at_pointer("/data/0/created_at"), "2023-11-14T22:13:20Z");
  EXPECT_EQ(json::parse(get("/v1/models/scripted", version).body).at("display_name"), "scripted");
  EXPECT_EQ(json::parse(get("/v1/models").body).at("object"), "list");
}

TEST_F(Messages, batch_requests_are_answered_too) {
  serve_answer("Rain.");
  const RawResponse response = send("/v1/batch/messages", body(""));
  EXPECT_EQ(json::parse(response.body).at_pointer("/content/0/text"), "Rain.");
  const RawResponse refused = send("/v1/batch/messages", "{}");
  EXPECT_EQ(json::parse(refused.body).at("type"), "error");
}

TEST_F(Messages, the_same_question_means_the_same_as_in_a_chat) {
  serve_answer("Rain.");
  const RawResponse chat = send("/v1/chat/completions", body(""));
  const RawResponse messages = send("/v1/messages", body(""));
  EXPECT_EQ(json::parse(messages.body).at_pointer("/content/0/text"),
            json::parse(chat.body).at_pointer("/choices/0/message/content"));
  const json::value usage = json::parse(messages.body).at("usage");
  EXPECT_EQ(usage.at("input_tokens").as_int64() + usage.at("cache_read_input_tokens").as_int64(),
            json::parse(chat.body).at_pointer("/usage/prompt_tokens").as_int64());
}

TEST_F(Messages, texts_and_chats_can_be_looked_at_as_tokens) {
  serve_answer("Rain.");
  const json::value text =
      json::parse(send("/v1/tokenize", R"({"model":"scripted","text":"Hé","pieces":true})").body);
  EXPECT_EQ(text.at("count").as_int64(), std::ssize(text.at("tokens").as_array()));
  EXPECT_EQ(text.at("context_length"), 4096);
  EXPECT_EQ(text.at("pieces").as_array().size(), text.at("tokens").as_array().size());
  const json::value back =
      json::parse(send("/v1/detokenize", R"({"model":"scripted","skip_special_tokens":true,"tokens":)" +
                                             json::serialize(text.at("tokens")) + "}")
                      .body);
  EXPECT_EQ(back.at("text"), "Hé");
  const json::value chat = json::parse(
      send("/v1/tokenize", R"({"model":"scripted","messages":[{"role":"user","content":"Weather?"}]})").body);
  const json::value counted = json::parse(send("/v1/messages/count_tokens", body("")).body);
  EXPECT_EQ(chat.at("count"), counted.at("input_tokens"));
  const RawResponse refused = send("/v1/detokenize", R"({"model":"scripted","tokens":[5,1000000]})");
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(json::parse(refused.body).at_pointer("/error/param"), "tokens");
}

}  // namespace
}  // namespace mlxd
