#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <cmath>
#include <string>

#include "api/error_status.h"
#include "api/json_text.h"
#include "api/openai/answer_parts.h"
#include "api/openai/chat_answer.h"
#include "api/openai/completion_answer.h"
#include "api/openai/error_body.h"
#include "api/openai/model_list.h"

namespace mlxd::api::openai {
namespace {

const AnswerInfo kInfo{.id = "1", .created = 7, .model = "m", .fingerprint = "fp"};
const Usage kUsage{.prompt_tokens = 3, .completion_tokens = 2, .cached_prompt_tokens = 1};
constexpr std::string_view kUsageJson =
    R"({"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":1}})";

TokenText token(TokenId id, std::string bytes, float logprob) {
  TokenText text;
  text.token = id;
  text.text = bytes;
  text.bytes = std::move(bytes);
  text.logprob = logprob;
  return text;
}

TextEvent piece(std::string text) {
  TextEvent event;
  event.pieces.push_back({.text = std::move(text)});
  return event;
}

TEST(ChatAnswer, is_one_object_as_openai_writes_it) {
  ChatAnswerEncoder encoder({.info = kInfo, .num_choices = 2, .logprobs = false, .include_usage = false});
  const Choice choices[] = {
      {.pieces = {{.text = "a\"b\n"}}, .logprobs = {}, .finish = FinishReason::kStop, .matched_stop = {}},
      {.pieces = {}, .logprobs = {}, .finish = FinishReason::kLength, .matched_stop = {}}};
  EXPECT_EQ(
      encoder.whole(choices, kUsage),
      R"({"id":"chatcmpl-1","object":"chat.completion","created":7,"model":"m","system_fingerprint":"fp",)"
      R"("choices":[{"index":0,"message":{"role":"assistant","content":"a\"b\n","refusal":null},"logprobs":null,)"
      R"("finish_reason":"stop"},{"index":1,"message":{"role":"assistant","content":"","refusal":null},)"
      R"("logprobs":null,"finish_reason":"length"}],"usage":)" +
          std::string(kUsageJson) + "}");
}

TEST(ChatAnswer, usage_tells_what_became_of_a_prediction) {
  Usage usage = kUsage;
  usage.prediction = {.accepted_tokens = 7, .rejected_tokens = 2};
  std::string out;
  append_usage(out, usage);
  EXPECT_NE(
      out.find(
          R"("completion_tokens_details":{"accepted_prediction_tokens":7,"rejected_prediction_tokens":2}})"),
      std::string::npos)
      << out;
  out.clear();
  append_usage(out, kUsage);
  EXPECT_EQ(out.find("completion_tokens_details"), std::string::npos);
}

TEST(ChatAnswer, streams_role_deltas_finish_usage_and_done) {
  ChatAnswerEncoder encoder({.info = kInfo, .num_choices = 1, .logprobs = false, .include_usage = true});
  std::string out;
  encoder.begin(out);
  encoder.event(out, 0, piece("Hé"), {});
  TextEvent last = piece("!");
  last.finish = FinishReason::kStop;
  encoder.event(out, 0, last, {});
  encoder.end(out, kUsage);
  const std::string head =
      R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","system_fingerprint":"fp",)"
      R"("choices":[)";
  const std::string tail = "],\"usage\":null}\n\n";
  EXPECT_EQ(
      out,
      head +
          R"({"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null})" +
          tail + head + R"({"index":0,"delta":{"content":"Hé"},"logprobs":null,"finish_reason":null})" +
          tail + head + R"({"index":0,"delta":{"content":"!"},"logprobs":null,"finish_reason":null})" + tail +
          head + R"({"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"})" + tail + head +
          "],\"usage\":" + std::string(kUsageJson) + "}\n\ndata: [DONE]\n\n");
}

using Kind = AnswerPiece::Kind;

std::vector<AnswerPiece> pieces_with_calls() {
  return {{.kind = Kind::kReasoning, .text = "hm"},
          {.kind = Kind::kCallBegin, .call_id = "c1", .name = "f"},
          {.kind = Kind::kCallArguments, .text = "{\"a\":"},
          {.kind = Kind::kCallArguments, .text = "1}"},
          {.kind = Kind::kCallEnd},
          {.kind = Kind::kCallBegin, .call = 1, .call_id = "c2", .name = "f"},
          {.kind = Kind::kCallBroken, .text = "<tool_call>{", .call = 1}};
}

TEST(ChatAnswer, carries_reasoning_and_calls_and_tells_what_was_none) {
  ChatAnswerEncoder encoder({.info = kInfo, .num_choices = 2});
  std::vector<AnswerPiece> complete = pieces_with_calls();
  complete.resize(5);
  const Choice choices[] = {{.pieces = complete, .finish = FinishReason::kToolCalls},
                            {.pieces = pieces_with_calls(), .finish = FinishReason::kToolCalls}};
  const std::string whole = encoder.whole(choices, kUsage);
  const std::string call =
      R"("tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}])";
  EXPECT_NE(whole.find(R"("content":null,"reasoning_content":"hm","reasoning":"hm",)" + call),
            std::string::npos)
      << whole;
  EXPECT_NE(whole.find(R"("content":"<tool_call>{","reasoning_content":"hm","reasoning":"hm",)" + call),
            std::string::npos)
      << whole;
  EXPECT_NE(whole.find(R"("finish_reason":"tool_calls")"), std::string::npos) << whole;
}

// As OpenAI does: the reason says that the arguments are a beginning.
TEST(ChatAnswer, tells_as_much_of_a_call_as_there_was_when_it_was_cut_off) {
  ChatAnswerEncoder encoder({.info = kInfo, .num_choices = 1});
  const Choice choice{.pieces = {{.kind = Kind::kCallBegin, .call_id = "c1", .name = "f"},
                                 {.kind = Kind::kCallArguments, .text = "{\"a\":"},
                                 {.kind = Kind::kCallCut}},
                      .finish = FinishReason::kLength};
  const std::string whole = encoder.whole({&choice, 1}, kUsage);
  EXPECT_NE(
      whole.find(
          R"("content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":"}}])"),
      std::string::npos)
      << whole;
  EXPECT_NE(whole.find(R"("finish_reason":"length")"), std::string::npos) << whole;
  TextEvent event;
  event.pieces = choice.pieces;
  event.finish = choice.finish;
  std::string out;
  encoder.event(out, 0, event, {});
  EXPECT_NE(out.find(R"("delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]})"),
            std::string::npos)
      << out;
  EXPECT_NE(out.find(R"("delta":{},"logprobs":null,"finish_reason":"length")"), std::string::npos) << out;
}

TEST(ChatAnswer, streams_calls_by_index_with_their_name_first) {
  ChatAnswerEncoder encoder({.info = kInfo, .num_choices = 1});
  TextEvent event;
  event.pieces = pieces_with_calls();
  event.finish = FinishReason::kToolCalls;
  std::string out;
  encoder.event(out, 0, event, {});
  const char* const deltas[] = {
      R"("delta":{"reasoning_content":"hm","reasoning":"hm"})",
      R"("delta":{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}]})",
      R"("delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]})",
      R"("delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]})",
      R"("delta":{"tool_calls":[{"index":1,"id":"c2","type":"function","function":{"name":"f","arguments":""}}]})",
      R"("delta":{"content":"<tool_call>{"})",
      R"("delta":{},"logprobs":null,"finish_reason":"tool_calls")"};
  std::size_t at = 0;
  for (const char* delta : deltas) {
    at = out.find(delta, at);
    ASSERT_NE(at, std::string::npos) << delta << "\n" << out;
  }
}

TEST(ChatAnswer, usage_counts_what_was_thought) {
  Usage usage = kUsage;
  usage.reasoning_tokens = 2;
  std::string out;
  append_usage(out, usage);
  EXPECT_NE(out.find(R"("completion_tokens_details":{"reasoning_tokens":2}})"), std::string::npos) << out;
}

TEST(ChatAnswer, gives_log_probabilities_with_bytes) {
  ChatAnswerEncoder encoder({.info = kInfo, .num_choices = 1, .logprobs = true, .include_usage = false});
  TextEvent event = piece("é");
  event.logprobs.push_back(token(5, "\xc3", -0.5F));
  event.logprobs[0].top = {{.token = 6, .bytes = "é", .logprob = -0.25F}};
  std::string out;
  encoder.event(out, 0, event, {});
  EXPECT_NE(out.find(R"("logprobs":{"content":[{"token":"\\xc3","logprob":-0.5,"bytes":[195],)"
                     R"("top_logprobs":[{"token":"é","logprob":-0.25,"bytes":[195,169]}]}],"refusal":null})"),
            std::string::npos)
      << out;
}

TEST(ChatAnswer, ends_a_failed_stream_with_an_error_event) {
  ChatAnswerEncoder encoder({.info = kInfo, .num_choices = 1, .logprobs = false, .include_usage = false});
  std::string out;
  encoder.fail(out, Error(ErrorKind::kInternal, "device lost"));
  EXPECT_EQ(out,
            "data: {\"error\":{\"message\":\"device "
            "lost\",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n");
}

TEST(CompletionAnswer, gives_log_probabilities_in_the_older_form) {
  CompletionAnswerEncoder encoder(
      {.info = kInfo, .num_choices = 1, .logprobs = true, .include_usage = false});
  TokenText first = token(5, "é", -0.5F);
  first.top = {{.token = 6, .bytes = "x", .logprob = -0.25F}};
  const Choice choices[] = {{.pieces = {{.text = "éb"}},
                             .logprobs = {first, token(7, "b", -1.0F)},
                             .finish = FinishReason::kLength,
                             .matched_stop = {}}};
  const std::string whole = encoder.whole(choices, kUsage);
  EXPECT_NE(
      whole.find(
          R"({"text":"éb","index":0,"logprobs":{"tokens":["é","b"],"token_logprobs":[-0.5,-1],)"
          R"("top_logprobs":[{"x":-0.25,"é":-0.5},{"b":-1}],"text_offset":[0,1]},"finish_reason":"length"})"),
      std::string::npos)
      << whole;
}

// What nothing comes before has no log-probability, what is no text takes no place in it, and of two tokens
// with one name the likelier is told.
TEST(CompletionAnswer, lists_the_tokens_of_a_prompt_first) {
  CompletionAnswerEncoder encoder(
      {.info = kInfo, .num_choices = 1, .logprobs = true, .include_usage = false});
  TokenText begin = token(1, "<s>", 0.0F);
  begin.has_logprob = false;
  begin.num_characters = 0;
  TokenText first = token(5, " é", -0.5F);
  first.num_characters = 1;
  first.top = {{.token = 6, .bytes = "x", .logprob = -0.25F}, {.token = 7, .bytes = "x", .logprob = -0.375F}};
  TokenText twin = token(8, "x", -2.0F);
  twin.top = {{.token = 6, .bytes = "x", .logprob = -0.25F}};
  const std::string lists =
      R"("logprobs":{"tokens":["<s>"," é","x"],"token_logprobs":[null,-0.5,-2],)"
      R"("top_logprobs":[null,{"x":-0.25," é":-0.5},{"x":-0.25}],"text_offset":[0,0,1]})";
  const Choice choices[] = {{.pieces = {{.text = "éx"}},
                             .logprobs = {begin, first, twin},
                             .finish = FinishReason::kLength,
                             .matched_stop = {}}};
  const std::string whole = encoder.whole(choices, kUsage);
  EXPECT_NE(whole.find(R"({"text":"éx","index":0,)" + lists), std::string::npos) << whole;
  std::string out;
  TextEvent event = piece("éx");
  event.logprobs = {begin, first, twin};
  encoder.event(out, 0, event, {});
  EXPECT_NE(out.find(R"({"text":"éx","index":0,)" + lists), std::string::npos) << out;
  event = piece("b");
  event.logprobs = {token(9, "b", -1.0F)};
  encoder.event(out, 0, event, {});
  EXPECT_NE(out.find(R"("text_offset":[2])"), std::string::npos) << out;
}

TEST(CompletionAnswer, streams_texts_then_finish) {
  CompletionAnswerEncoder encoder(
      {.info = kInfo, .num_choices = 2, .logprobs = false, .include_usage = false});
  std::string out;
  encoder.begin(out);
  encoder.event(out, 1, piece("a"), {});
  TextEvent last;
  last.finish = FinishReason::kLength;
  encoder.event(out, 1, last, {});
  encoder.end(out, kUsage);
  const std::string head =
      R"(data: {"id":"cmpl-1","object":"text_completion","created":7,"model":"m","system_fingerprint":"fp","choices":[)";
  EXPECT_EQ(out, head + R"({"text":"a","index":1,"logprobs":null,"finish_reason":null}]})" + "\n\n" + head +
                     R"({"text":"","index":1,"logprobs":null,"finish_reason":"length"}]})" +
                     "\n\ndata: [DONE]\n\n");
}

TEST(ErrorBody, names_parameter_and_code) {
  struct Case {
    Error error;
    int status;
    std::string body;
  };
  const Case cases[] = {
      {invalid_argument("top_p is 5", "top_p"), 400,
       R"({"error":{"message":"top_p is 5","type":"invalid_request_error","param":"top_p","code":null}})"},
      {Error(ErrorKind::kTooLarge, "long", "messages"), 400,
       R"({"error":{"message":"long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}})"},
      {Error(ErrorKind::kNotFound, "no model", "model"), 404,
       R"({"error":{"message":"no model","type":"invalid_request_error","param":"model","code":"model_not_found"}})"},
      {Error(ErrorKind::kOverloaded, "busy"), 503,
       R"({"error":{"message":"busy","type":"service_unavailable_error","param":null,"code":"overloaded"}})"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(status_of(c.error.kind), c.status);
    EXPECT_EQ(encode_error(c.status, c.error), c.body);
  }
}

TEST(ModelList, tells_facts_of_loaded_models) {
  const ModelEntry entries[] = {
      {.id = "a/b", .created = 5, .context_tokens = 8192, .num_parameters = 9, .loaded = true, .chat = true},
      {.id = "c"}};
  EXPECT_EQ(
      encode_model_list(entries),
      R"({"object":"list","data":[{"id":"a/b","object":"model","created":5,"owned_by":"mlxd","loaded":true,)"
      R"("context_length":8192,"parameters":9,"capabilities":["completion","chat"]},)"
      R"({"id":"c","object":"model","created":0,"owned_by":"mlxd","loaded":false,"capabilities":["completion"]}]})");
}

TEST(ModelList, names_the_model_that_an_adapter_is_of) {
  EXPECT_EQ(
      encode_model({.id = "m+a", .parent = "m", .created = 5}),
      R"({"id":"m+a","parent":"m","object":"model","created":5,"owned_by":"mlxd","loaded":false,"capabilities":["completion"]})");
}

TEST(JsonText, is_valid_json_whatever_the_bytes) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  for (const std::string& text : {all, std::string("\xed\xa0\x80"), std::string("\xf4\x90\x80\x80"),
                                  std::string("\xc0\xaf"), std::string("ok €𝄞"), std::string("\xe2\x82")}) {
    std::string out;
    append_json_string(out, text);
    EXPECT_TRUE(is_valid_utf8(out));
    boost::json::error_code code;
    const auto value = boost::json::parse(out, code);
    ASSERT_FALSE(code) << out;
    if (is_valid_utf8(text)) {
      EXPECT_EQ(value.as_string(), text);
    }
  }
}

TEST(JsonText, writes_numbers_that_json_has) {
  for (const auto& [value, text] :
       {std::pair{-0.5F, "-0.5"}, {-INFINITY, "-9999"}, {NAN, "0"}, {1e-10F, "1e-10"}}) {
    std::string out;
    append_json_number(out, value);
    EXPECT_EQ(out, text);
  }
}

}  // namespace
}  // namespace mlxd::api::openai
