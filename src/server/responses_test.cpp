// /v1/responses through HTTP: items, streams, what is kept and who may read it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>
#include <vector>

#include "server/api_server.h"
#include "server/testing/manage_client.h"
#include "server/testing/scripted_model.h"

namespace mlxd {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;
using testing::make_scripted_model;
using testing::ManageCaller;
using testing::ManageReply;

class ResponsesOverHttp : public ::testing::Test {
 protected:
  void serve(const std::string& answer = std::string(testing::kAnswer), std::int32_t context_tokens = 4096,
             SettingPlaces places = {}) {
    ApiServer::Options options;
    options.pool = testing::scripted_pool();
    options.management = Management::open({.places = std::move(places), .owner_token = "owner"}).take_value();
    server_ = ApiServer::start(std::move(options)).take_value();
    model_ = make_scripted_model({.context_tokens = context_tokens, .answer = answer});
    ASSERT_TRUE(server_->models().put(model_).ok());
    server_->set_ready();
  }
  void TearDown() override {
    server_.reset();
    model_.reset();
  }

  ManageCaller caller(const std::string& token = {}) const {
    const std::uint16_t port = server_->http().port();
    return token.empty() ? ManageCaller(port) : ManageCaller::bearer(port, token);
  }
  static std::string body(const std::string& input, const std::string& more = {}) {
    return R"({"model":"scripted","input":)" + input + (more.empty() ? "" : ",") + more + "}";
  }
  ManageReply create(const std::string& input, const std::string& more = {}, int status = 200) const {
    ManageReply reply = caller().call("POST", "/v1/responses", body(input, more));
    EXPECT_EQ(reply.status, status) << reply.raw;
    return reply;
  }
  static std::string text_of(const ManageReply& reply) {
    std::string text;
    for (const json::value& item : reply.body.at("output").as_array())
      if (item.at("type") == "message") text += std::string(item.at_pointer("/content/0/text").as_string());
    return text;
  }
  /// The last event's response.
  static json::value last_response(const std::string& stream) {
    const std::size_t at = stream.rfind("\ndata: ");
    return json::parse(stream.substr(at + 7)).at("response");
  }

  std::unique_ptr<ApiServer> server_;
  ServedModelPtr model_;
};

const std::string kTools =
    R"("tools":[{"type":"function","name":"weather","parameters":{"type":"object"}},{"type":"custom","name":"patch"},{"type":"web_search"}])";
const std::string kCalls =
    "<think>\nHm, rain?\n</think>\n\nI look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": "
    "\"São\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"patch\", \"arguments\": {\"input\": \"a\\nb\"}}\n"
    "</tool_call>";

TEST_F(ResponsesOverHttp, answers_as_a_chat_does) {
  serve();
  const ManageReply response = create(R"("Hi")", R"("temperature":0)");
  const ManageReply chat =
      caller().call("POST", "/v1/chat/completions",
                    R"({"model":"scripted","temperature":0,"messages":[{"role":"user","content":"Hi"}]})");
  EXPECT_EQ(text_of(response), testing::kAnswer);
  EXPECT_EQ(text_of(response), chat.at("/choices/0/message/content"));
  EXPECT_EQ(response.at("/usage/input_tokens"), chat.at("/usage/prompt_tokens"));
  EXPECT_EQ(response.at("/usage/output_tokens"), chat.at("/usage/completion_tokens"));
  EXPECT_EQ(response.at("/status"), "completed");
  EXPECT_EQ(response.at("/object"), "response");
  EXPECT_THAT(response.at("/id"), ::testing::StartsWith("resp_"));
}

TEST_F(ResponsesOverHttp, a_stream_ends_with_what_a_whole_answer_is) {
  serve(kCalls);
  const ManageReply whole = create(R"("Weather?")", kTools);
  EXPECT_EQ(whole.header("x-mlxd-ignored"), "tools[2] (web_search)");
  const json::array& output = whole.body.at("output").as_array();
  ASSERT_EQ(output.size(), 4U) << whole.raw;
  EXPECT_EQ(output[0].at_pointer("/content/0/text"), "Hm, rain?");
  EXPECT_EQ(output[1].at_pointer("/content/0/text"), "I look.");
  EXPECT_EQ(output[2].at("type"), "function_call");
  EXPECT_EQ(output[2].at("arguments"), R"({"city": "São"})");
  EXPECT_EQ(output[3].at("type"), "custom_tool_call");
  EXPECT_EQ(output[3].at("input"), "a\nb");
  const ManageReply streamed = create(R"("Weather?")", kTools + R"(,"stream":true)");
  EXPECT_EQ(streamed.header("content-type"), "text/event-stream");
  const json::value last = last_response(streamed.raw);
  for (std::size_t i = 0; i < 4; ++i) {
    json::object a = output[i].as_object();
    json::object b = last.at("output").at(i).as_object();
    for (json::object* item : {&a, &b})
      for (const char* own : {"id", "call_id"}) item->erase(own);
    EXPECT_EQ(a, b);
  }
  EXPECT_EQ(last.at("usage").at("output_tokens"), whole.body.at("usage").at("output_tokens"));
}

TEST_F(ResponsesOverHttp, calls_are_answered_in_the_next_request) {
  serve();
  const std::string items =
      R"([{"role":"user","content":"Weather?"},{"type":"function_call","call_id":"c","name":"weather","arguments":"{}"},
          {"type":"function_call_output","call_id":"c","output":"rain"}])";
  EXPECT_EQ(text_of(create(items, kTools)), testing::kAnswer);
}

TEST_F(ResponsesOverHttp, tell_what_was_left_out_as_far_as_a_header_goes) {
  serve();
  std::string items = R"([{"role":"user","content":"Hi"})";
  for (int i = 0; i < 300; ++i) items += R"(,{"type":"web_search_call","id":"ws","status":"completed"})";
  const std::string left_out = create(items + "]").header("x-mlxd-ignored");
  EXPECT_THAT(left_out, ::testing::StartsWith("input[1] (web_search_call), input[2] (web_search_call), "));
  EXPECT_THAT(left_out, HasSubstr(" more"));
  EXPECT_LT(left_out.size(), 2100U);
}

TEST_F(ResponsesOverHttp, a_call_can_be_forced) {
  serve("Certainly!");
  const std::string tools =
      R"("max_output_tokens":400,"temperature":1.5,"tools":[{"type":"function","name":"f","strict":true,"parameters":{"type":"object","properties":{"unit":{"enum":["C","F"]}},)"
      R"("required":["unit"],"additionalProperties":false}},{"type":"custom","name":"digits","format":{"type":"grammar","syntax":"regex","definition":"[0-9]{2,4}"}}])";
  for (int seed = 0; seed < 4; ++seed) {
    const std::string with_seed = tools + R"(,"seed":)" + std::to_string(seed);
    const ManageReply call =
        create(R"("Hi")", with_seed + R"(,"tool_choice":{"type":"function","name":"f"})");
    EXPECT_EQ(call.header("x-mlxd-ignored"), "(none)");
    EXPECT_EQ(call.at("/output/0/type"), "function_call") << call.raw;
    EXPECT_TRUE(json::parse(call.at("/output/0/arguments")).as_object().contains("unit"));
    const ManageReply text =
        create(R"("Hi")", with_seed + R"(,"tool_choice":{"type":"custom","name":"digits"})");
    EXPECT_EQ(text.at("/output/0/type"), "custom_tool_call") << text.raw;
    const std::string input = text.at("/output/0/input");
    EXPECT_GE(input.size(), 2U);
    EXPECT_LE(input.size(), 4U);
    EXPECT_EQ(input.find_first_not_of("0123456789"), std::string::npos) << input;
  }
}

TEST_F(ResponsesOverHttp, a_text_has_the_form_that_was_asked_for) {
  serve("Certainly!");
  const ManageReply reply = create(
      R"("Hi")",
      R"("max_output_tokens":400,"text":{"format":{"type":"json_schema","name":"a","schema":{"type":"object","properties":{"sure":{"type":"boolean"}},"required":["sure"],"additionalProperties":false}}})");
  EXPECT_TRUE(json::parse(text_of(reply)).at("sure").is_bool());
  const ManageReply refused = create(
      R"("Hi")", R"("text":{"format":{"type":"json_schema","name":"a","schema":{"type":"odd"}}})", 400);
  EXPECT_EQ(refused.at("/error/param"), "text.format");
  EXPECT_EQ(create(R"("Hi")", R"("reasoning":{"effort":"high"})", 400).at("/error/param"),
            "reasoning.effort");
}

TEST_F(ResponsesOverHttp, are_kept_listed_and_deleted) {
  serve();
  const ManageReply made = create(R"([{"role":"user","content":"one"},{"role":"user","content":"two"}])",
                                  R"("metadata":{"k":"v"})");
  const std::string path = "/v1/responses/" + made.at("/id");
  const ManageReply found = caller().get(path);
  EXPECT_EQ(found.status, 200);
  EXPECT_EQ(found.body, made.body);
  const ManageReply first = caller().get(path + "/input_items?limit=1&order=asc");
  EXPECT_EQ(first.at("/data/0/content/0/text"), "one");
  EXPECT_EQ(first.at("/has_more"), "true");
  const ManageReply second =
      caller().get(path + "/input_items?limit=1&order=asc&after=" + first.at("/last_id"));
  EXPECT_EQ(second.at("/data/0/content/0/text"), "two");
  EXPECT_EQ(second.at("/has_more"), "false");
  EXPECT_EQ(caller().get(path + "/input_items?limit=0").at("/error/param"), "limit");
  const ManageReply cancelled = caller().call("POST", path + "/cancel", "{}");
  EXPECT_EQ(cancelled.status, 400);
  EXPECT_THAT(cancelled.at("/error/message"), HasSubstr("not made in the background"));
  const ManageReply deleted = caller().call("DELETE", path);
  EXPECT_EQ(deleted.at("/deleted"), "true");
  for (const char* method : {"GET", "DELETE"}) {
    const ManageReply gone = caller().call(method, path);
    EXPECT_EQ(gone.status, 404);
    EXPECT_EQ(gone.at("/error/code"), "not_found");
  }
  const ManageReply unkept = create(R"("Hi")", R"("store":false)");
  EXPECT_EQ(unkept.at("/store"), "false");
  EXPECT_EQ(caller().get("/v1/responses/" + unkept.at("/id")).status, 404);
}

TEST_F(ResponsesOverHttp, build_on_earlier_ones) {
  serve();
  const ManageReply first = create(R"("one")", R"("instructions":"A")");
  const ManageReply second = create(R"("two")", R"("previous_response_id":")" + first.at("/id") + "\"");
  const ManageReply third =
      create(R"("three")", R"("instructions":"B","previous_response_id":")" + second.at("/id") + "\"");
  EXPECT_EQ(third.at("/previous_response_id"), second.at("/id"));
  // The same by hand: the earlier one's instructions are not carried on.
  const std::string said = json::serialize(json::value(testing::kAnswer));
  const ManageReply by_hand =
      create(R"([{"role":"user","content":"one"},{"role":"assistant","content":)" + said +
                 R"(},{"role":"user","content":"two"},{"role":"assistant","content":)" + said +
                 R"(},{"role":"user","content":"three"}])",
             R"("instructions":"B")");
  EXPECT_EQ(third.at("/usage/input_tokens"), by_hand.at("/usage/input_tokens"));
  const std::string item = second.at("/output/0/id");
  const ManageReply referred =
      create(R"([{"type":"item_reference","id":")" + item + R"("},{"role":"user","content":"three"}])");
  EXPECT_LT(std::stoi(referred.at("/usage/input_tokens")), std::stoi(by_hand.at("/usage/input_tokens")));
  EXPECT_EQ(create(R"([{"type":"item_reference","id":"msg_none_0"}])", {}, 400).at("/error/param"),
            "input[0].id");

  const ManageReply missing = create(R"("x")", R"("previous_response_id":"resp_none")", 400);
  EXPECT_EQ(missing.at("/error/param"), "previous_response_id");
  ASSERT_EQ(caller().call("DELETE", "/v1/responses/" + first.at("/id")).status, 200);
  const ManageReply broken = create(R"("x")", R"("previous_response_id":")" + third.at("/id") + "\"", 400);
  EXPECT_THAT(broken.at("/error/message"), HasSubstr("no longer kept"));
}

TEST_F(ResponsesOverHttp, are_their_owners_alone) {
  serve();
  const ManageCaller owner = caller("owner");
  const auto account = [&](const std::string& email) {
    const ManageReply made = owner.call(
        "POST", "/api/v1/users", R"({"email":")" + email + R"(","password":"correct horse","role":"user"})");
    ASSERT_EQ(made.status, 201) << made.raw;
  };
  account("a@x.org");
  const auto key = [&](const std::string& name) {
    const ManageReply made =
        owner.call("POST", "/api/v1/keys", R"({"name":")" + name + R"(","user":"a@x.org"})");
    EXPECT_EQ(made.status, 201) << made.raw;
    return made.at("/key");
  };
  const std::string one = key("one");
  const std::string two = key("two");
  const ManageReply made = caller(one).call("POST", "/v1/responses", body(R"("Hi")"));
  ASSERT_EQ(made.status, 200) << made.raw;
  const std::string path = "/v1/responses/" + made.at("/id");
  EXPECT_EQ(caller(one).get(path).status, 200);
  EXPECT_EQ(caller(two).get(path).status, 404);
  EXPECT_EQ(caller(two).get(path + "/input_items").status, 404);
  EXPECT_EQ(caller(two).call("DELETE", path).status, 404);
  EXPECT_EQ(caller(two)
                .call("POST", "/v1/responses",
                      body(R"("Hi")", R"("previous_response_id":")" + made.at("/id") + "\""))
                .status,
            400);
  EXPECT_EQ(caller().get(path).status, 401);
}

TEST_F(ResponsesOverHttp, are_kept_however_deep_their_values_are) {
  serve();
  std::string schema = R"({"type":"object"})";
  for (int i = 0; i < 20; ++i) schema = R"({"type":"object","properties":{"a":)" + schema + "}}";
  std::string note = "1";
  for (int i = 0; i < 40; ++i) note = "[" + note + "]";
  const ManageReply first = create(R"([{"type":"message","role":"user","content":"Hi","note":)" + note + "}]",
                                   R"("tools":[{"type":"function","name":"f","parameters":)" + schema + "}]");
  // Deeper than the test's own parser goes.
  const std::size_t at = first.raw.find("resp_");
  ASSERT_NE(at, std::string::npos) << first.raw;
  const std::string id = first.raw.substr(at, first.raw.find('"', at) - at);
  create(R"("And?")", R"("previous_response_id":")" + id + "\"");
  EXPECT_EQ(caller().call("GET", "/v1/responses/" + id + "/input_items").status, 200);
}

TEST_F(ResponsesOverHttp, have_their_tokens_counted_with_what_they_build_on) {
  serve();
  const ManageReply first = create(R"("Hi")");
  const auto count = [&](const std::string& more) {
    return caller().call("POST", "/v1/responses/input_tokens",
                         R"({"model":"scripted","input":"Hi")" + more + "}");
  };
  const ManageReply counted = count("");
  EXPECT_EQ(counted.status, 200) << counted.raw;
  EXPECT_EQ(counted.at("/object"), "response.input_tokens");
  EXPECT_EQ(counted.at("/input_tokens"), first.at("/usage/input_tokens"));
  const std::string after = R"(,"previous_response_id":")" + first.at("/id") + "\"";
  EXPECT_EQ(count(after).at("/input_tokens"), create(R"("Hi")", after.substr(1)).at("/usage/input_tokens"));
  EXPECT_EQ(count(R"(,"previous_response_id":"resp_none")").status, 400);
}

TEST_F(ResponsesOverHttp, go_the_oldest_first_where_they_take_too_much) {
  serve(std::string(testing::kAnswer), 4096, {.flags = {{"response-storage", {"20000"}}}});
  std::vector<std::string> ids;
  for (int i = 0; i < 12; ++i)
    ids.push_back(create(R"("Hi")", R"("instructions":")" + std::string(2000, 'i') + "\"").at("/id"));
  // Deleting one waits until all others are written.
  EXPECT_EQ(caller().call("DELETE", "/v1/responses/" + ids.back()).status, 200);
  EXPECT_EQ(caller().get("/v1/responses/" + ids[0]).status, 404);
  EXPECT_EQ(caller().get("/v1/responses/" + ids[10]).status, 200);
}

TEST_F(ResponsesOverHttp, are_not_kept_where_nothing_is) {
  serve(std::string(testing::kAnswer), 4096, {.flags = {{"response-retention", {"0"}}}});
  const ManageReply made = create(R"("Hi")");
  EXPECT_EQ(made.at("/store"), "false");
  EXPECT_EQ(caller().get("/v1/responses/" + made.at("/id")).status, 404);
}

TEST_F(ResponsesOverHttp, a_conversation_too_long_begins_later_if_it_may) {
  serve(std::string(testing::kAnswer), 256);
  std::string items = R"([{"role":"developer","content":"D"})";
  for (int turn = 0; turn < 6; ++turn)
    items += R"(,{"role":"user","content":")" + std::string(60, 'u') + R"("})";
  items += "]";
  const ManageReply refused = create(items, {}, 400);
  EXPECT_EQ(refused.at("/error/code"), "context_length_exceeded");
  const ManageReply shorter = create(items, R"("truncation":"auto")");
  EXPECT_THAT(shorter.header("x-mlxd-truncated"), HasSubstr(" messages"));
  EXPECT_LT(std::stoi(shorter.at("/usage/input_tokens")), 256);
  EXPECT_GT(std::stoi(shorter.at("/usage/input_tokens")), 100);
  const ManageReply hopeless = create("\"" + std::string(400, 'x') + "\"", R"("truncation":"auto")", 400);
  EXPECT_EQ(hopeless.at("/error/code"), "context_length_exceeded");
}

}  // namespace
}  // namespace mlxd
