// Tools and reasoning through HTTP: what a model writes comes out as OpenAI's clients want it.
#include <gtest/gtest.h>

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
using testing::make_scripted_model;

class ToolsOverHttp : public ::testing::Test {
 protected:
  void serve(const std::string& answer) {
    ApiServer::Options options;
    options.pool = testing::scripted_pool();
    server_ = ApiServer::start(std::move(options)).take_value();
    model_ = make_scripted_model({.answer = answer});
    ASSERT_TRUE(server_->models().put(model_).ok());
    server_->set_ready();
  }
  void TearDown() override {
    server_.reset();
    model_.reset();
  }

  std::string post(const std::string& more, int status = 200) const {
    const std::string body =
        R"({"model":"scripted","messages":[{"role":"user","content":"Weather?"}])" + more + "}";
    const auto response = RawClient(server_->http().port()).request("POST", "/v1/chat/completions", body);
    EXPECT_EQ(response.status, status) << response.body;
    return response.body;
  }

  /// A stream put together as clients do.
  struct Streamed {
    std::string content, reasoning, finish;
    std::vector<std::string> ids, names, arguments;
  };
  static Streamed put_together(const std::string& stream) {
    Streamed all;
    for (std::size_t at = stream.find("data: {"); at != std::string::npos;
         at = stream.find("data: {", at + 1)) {
      const json::value chunk = json::parse(stream.substr(at + 6, stream.find("\n\n", at) - at - 6));
      if (chunk.at("choices").as_array().empty()) continue;
      const json::value& choice = chunk.at("choices").at(0);
      const json::object& delta = choice.at("delta").as_object();
      if (const json::value* text = delta.if_contains("content"))
        all.content += std::string(text->as_string());
      if (const json::value* text = delta.if_contains("reasoning_content"))
        all.reasoning += std::string(text->as_string());
      if (const json::value* calls = delta.if_contains("tool_calls")) {
        const json::object& call = calls->at(0).as_object();
        const auto index = call.at("index").to_number<std::size_t>();
        if (all.names.size() <= index) {
          all.ids.emplace_back(call.at("id").as_string());
          all.names.emplace_back(call.at("function").at("name").as_string());
          all.arguments.emplace_back();
        }
        all.arguments.at(index) += std::string(call.at("function").at("arguments").as_string());
      }
      if (choice.at("finish_reason").is_string())
        all.finish = std::string(choice.at("finish_reason").as_string());
    }
    return all;
  }

  const std::string tools_ =
      R"(,"tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}])";
  std::unique_ptr<ApiServer> server_;
  ServedModelPtr model_;
};

const std::string kCalls =
    "<think>\nHm, rain?\n</think>\n\nI look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": "
    "\"São\"}}\n"
    "</tool_call>\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"São\"}}\n</tool_call>";

TEST_F(ToolsOverHttp, a_whole_answer_and_a_streamed_one_say_the_same) {
  serve(kCalls);
  const json::value whole = json::parse(post(tools_));
  const json::value& message = whole.at_pointer("/choices/0/message");
  EXPECT_EQ(message.at("content"), "I look.");
  EXPECT_EQ(message.at("reasoning_content"), "Hm, rain?");
  ASSERT_EQ(message.at("tool_calls").as_array().size(), 2U);
  EXPECT_EQ(whole.at_pointer("/choices/0/finish_reason"), "tool_calls");
  EXPECT_GT(whole.at_pointer("/usage/completion_tokens_details/reasoning_tokens").to_number<int>(), 8);
  const Streamed streamed = put_together(post(tools_ + R"(,"stream":true)"));
  EXPECT_EQ(streamed.content, "I look.");
  EXPECT_EQ(streamed.reasoning, "Hm, rain?");
  EXPECT_EQ(streamed.finish, "tool_calls");
  ASSERT_EQ(streamed.names.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    const json::value& call = message.at("tool_calls").at(i);
    EXPECT_EQ(call.at("type"), "function");
    EXPECT_EQ(call.at("function").at("name"), "weather");
    EXPECT_EQ(call.at("function").at("arguments"), R"({"city": "São"})");
    EXPECT_TRUE(std::string(call.at("id").as_string()).starts_with("call_"));
    EXPECT_EQ(streamed.names[i], "weather");
    EXPECT_EQ(streamed.arguments[i], R"({"city": "São"})");
    EXPECT_TRUE(streamed.ids[i].starts_with("call_"));
  }
  EXPECT_NE(message.at("tool_calls").at(0).at("id"), message.at("tool_calls").at(1).at("id"));
  EXPECT_NE(streamed.ids[0], streamed.ids[1]);
}

TEST_F(ToolsOverHttp, an_answer_can_be_limited_to_so_many_calls) {
  serve(kCalls);
  const auto num_calls = [this](const std::string& more) {
    const json::value whole = json::parse(post(tools_ + more));
    EXPECT_EQ(whole.at_pointer("/choices/0/finish_reason"), "tool_calls");
    return whole.at_pointer("/choices/0/message/tool_calls").as_array().size();
  };
  EXPECT_EQ(num_calls(R"(,"parallel_tool_calls":false)"), 1U);
  EXPECT_EQ(num_calls(R"(,"max_tool_calls":1)"), 1U);
  EXPECT_EQ(num_calls(R"(,"max_tool_calls":2)"), 2U);
  EXPECT_EQ(num_calls(R"(,"max_tool_calls":3)"), 2U);
  EXPECT_EQ(num_calls(R"(,"max_tool_calls":3,"parallel_tool_calls":false)"), 1U);
}

TEST_F(ToolsOverHttp, without_tools_no_text_is_a_call) {
  serve(kCalls);
  for (const std::string& more : {std::string(), tools_ + R"(,"tool_choice":"none")"}) {
    const json::value whole = json::parse(post(more));
    EXPECT_NE(std::string(whole.at_pointer("/choices/0/message/content").as_string()).find("<tool_call>"),
              std::string::npos);
    EXPECT_EQ(whole.at_pointer("/choices/0/finish_reason"), "stop");
  }
}

TEST_F(ToolsOverHttp, a_call_that_breaks_off_is_text) {
  serve("Ok <tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": ");
  const json::value whole = json::parse(post(tools_));
  EXPECT_EQ(whole.at_pointer("/choices/0/message/content"),
            "Ok <tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": ");
  EXPECT_EQ(whole.at_pointer("/choices/0/message").as_object().if_contains("tool_calls"), nullptr);
  EXPECT_EQ(whole.at_pointer("/choices/0/finish_reason"), "stop");
}

// The model says a byte a token: it is cut everywhere.
TEST_F(ToolsOverHttp, a_call_that_the_limit_cuts_off_is_no_text) {
  serve(kCalls);
  for (std::size_t limit = kCalls.find("<tool_call>") + 11; limit < kCalls.size(); limit += 3) {
    const std::string asked = tools_ + R"(,"max_tokens":)" + std::to_string(limit);
    const json::value choice = json::parse(post(asked)).at_pointer("/choices/0");
    const json::object& message = choice.at("message").as_object();
    EXPECT_EQ(message.at("content"), "I look.") << limit;
    EXPECT_EQ(choice.at("finish_reason"), "length") << limit;
    const Streamed streamed = put_together(post(asked + R"(,"stream":true)"));
    EXPECT_EQ(streamed.content, "I look.") << limit;
    EXPECT_EQ(streamed.finish, "length") << limit;
    const json::value* const calls = message.if_contains("tool_calls");
    ASSERT_EQ(calls == nullptr ? 0 : calls->as_array().size(), streamed.names.size()) << limit;
    for (std::size_t i = 0; i < streamed.names.size(); ++i)
      EXPECT_EQ(calls->at(i).at_pointer("/function/arguments"), json::string(streamed.arguments[i])) << limit;
  }
}

// The model would say what it always says; it calls all the same.
TEST_F(ToolsOverHttp, a_call_can_be_forced) {
  serve("Certainly!");
  const std::string tools =
      R"(,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"unit":{"enum":["C","F"]}},)"
      R"("required":["unit"],"additionalProperties":false}}},{"type":"function","function":{"name":"g","parameters":{"type":"object","additionalProperties":false}}}])";
  for (const char* choice : {R"("required")", R"({"type":"function","function":{"name":"f"}})"}) {
    for (int seed = 0; seed < 4; ++seed) {
      const json::value whole = json::parse(
          post(tools + R"(,"parallel_tool_calls":false,"temperature":1.5,"max_tokens":1000,"seed":)" +
               std::to_string(seed) + R"(,"tool_choice":)" + choice));
      EXPECT_EQ(whole.at_pointer("/choices/0/finish_reason"), "tool_calls");
      const json::array& calls = whole.at_pointer("/choices/0/message/tool_calls").as_array();
      ASSERT_EQ(calls.size(), 1U);
      const json::value& function = calls[0].at("function");
      EXPECT_TRUE(function.at("name") == "f" || (function.at("name") == "g" && *choice == '"'));
      EXPECT_TRUE(json::parse(function.at("arguments").as_string()).is_object());
    }
  }
}

// The model would say what it always says; the form wins.
TEST_F(ToolsOverHttp, an_answer_has_the_form_that_was_asked_for) {
  serve("Certainly!");
  const std::string format =
      R"(,"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"object",)"
      R"("properties":{"sure":{"type":"boolean"},"unit":{"enum":["C","F"]}},"required":["sure","unit"],"additionalProperties":false}}})";
  for (const char* temperature : {"0", "1.5"}) {
    for (int seed = 0; seed < 8; ++seed) {
      const json::value whole = json::parse(post(format + R"(,"max_tokens":400,"n":2,"temperature":)" +
                                                 temperature + R"(,"seed":)" + std::to_string(seed)));
      for (const json::value& choice : whole.at("choices").as_array()) {
        if (choice.at("finish_reason") != "stop") continue;
        const json::value answer = json::parse(choice.at("message").at("content").as_string());
        ASSERT_TRUE(answer.is_object());
        EXPECT_TRUE(answer.at("sure").is_bool());
        EXPECT_TRUE(answer.at("unit") == "C" || answer.at("unit") == "F");
        EXPECT_EQ(answer.as_object().size(), 2U);
      }
    }
  }
  const json::value refused = json::parse(post(
      R"(,"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"strange"}}})",
      400));
  EXPECT_EQ(refused.at_pointer("/error/param"), "response_format");
}

TEST_F(ToolsOverHttp, what_the_model_cannot_do_is_refused_by_name) {
  serve("x");
  const json::value refused = json::parse(post(R"(,"reasoning_effort":"high")", 400));
  EXPECT_EQ(refused.at_pointer("/error/param"), "reasoning_effort");
  EXPECT_EQ(refused.at_pointer("/error/code"), "unsupported_parameter");
  post(R"(,"reasoning_effort":"none")");
}

}  // namespace
}  // namespace mlxd
