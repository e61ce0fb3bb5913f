// Transcripts of answers as Anthropic's clients read them.
#include <gtest/gtest.h>

#include <string>

#include "api/anthropic/block_id.h"
#include "api/anthropic/error_body.h"
#include "api/anthropic/message_answer.h"
#include "api/anthropic/model_list.h"

namespace mlxd::api::anthropic {
namespace {

using Kind = AnswerPiece::Kind;

MessageAnswerEncoder make_encoder(bool hides_thinking = false) {
  return MessageAnswerEncoder({.info = {.id = "1", .created = 7, .model = "m", .fingerprint = "fp"},
                               .max_tokens = 9,
                               .hides_thinking = hides_thinking});
}

const Usage kUsage{
    .prompt_tokens = 30, .completion_tokens = 9, .cached_prompt_tokens = 10, .reasoning_tokens = 2};
const std::string kCounts =
    R"("input_tokens":20,"cache_creation_input_tokens":0,"cache_read_input_tokens":10,"output_tokens":9,)"
    R"("output_tokens_details":{"thinking_tokens":2},"server_tool_use":null)";
const std::string kFurther =
    R"(,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"service_tier":"standard","inference_geo":null,"speed":null})";
const std::string kHead =
    R"({"id":"msg_1","type":"message","role":"assistant","model":"m","container":null,"diagnostics":null,"content":[)";

std::vector<AnswerPiece> pieces_in_order() {
  return {{.kind = Kind::kReasoning, .text = "hm"},
          {.text = "I look."},
          {.kind = Kind::kCallBegin, .call_id = "call_a", .name = "f"},
          {.kind = Kind::kCallArguments, .text = "{\"a\":"},
          {.kind = Kind::kCallArguments, .text = "1}"},
          {.kind = Kind::kCallEnd},
          {.kind = Kind::kCallBegin, .call = 1, .call_id = "functions.f:1", .name = "f"},
          {.kind = Kind::kCallEnd, .call = 1},
          {.text = "Done"}};
}

std::string whole(std::vector<AnswerPiece> pieces, FinishReason finish, std::string stop = "",
                  const Usage& usage = kUsage) {
  const Choice choice{.pieces = std::move(pieces), .finish = finish, .matched_stop = std::move(stop)};
  return make_encoder().whole({&choice, 1}, usage);
}

std::string stream(MessageAnswerEncoder encoder, const std::vector<AnswerPiece>& pieces, FinishReason finish,
                   const std::string& stop = "") {
  std::string out;
  encoder.begin(out);
  Usage so_far = kUsage;
  so_far.completion_tokens = 1;
  so_far.reasoning_tokens = 0;
  for (const AnswerPiece& piece : pieces) {
    TextEvent event;
    event.pieces.push_back(piece);
    encoder.event(out, 0, event, so_far);
  }
  TextEvent last;
  last.finish = finish;
  last.matched_stop = stop;
  encoder.event(out, 0, last, so_far);
  encoder.end(out, kUsage);
  return out;
}

std::string event(const std::string& name, const std::string& rest) {
  return "event: " + name + "\ndata: {\"type\":\"" + name + "\"" + (rest.empty() ? "" : ",") + rest + "}\n\n";
}
std::string start(int index, const std::string& block) {
  return event("content_block_start", "\"index\":" + std::to_string(index) + ",\"content_block\":" + block);
}
std::string delta(int index, const std::string& inside) {
  return event("content_block_delta", "\"index\":" + std::to_string(index) + ",\"delta\":{" + inside + "}");
}
std::string stop(int index) { return event("content_block_stop", "\"index\":" + std::to_string(index)); }
std::string beginning() {
  return event(
             "message_start",
             "\"message\":" + kHead +
                 R"(],"stop_reason":null,"stop_sequence":null,"stop_details":null,"usage":{"input_tokens":20,)"
                 R"("cache_creation_input_tokens":0,"cache_read_input_tokens":10,"output_tokens":1,)"
                 R"("output_tokens_details":{"thinking_tokens":0},"server_tool_use":null)" +
                 kFurther + "}") +
         event("ping", "");
}
std::string ending(const std::string& reason, const std::string& sequence = "null") {
  return event("message_delta", R"("delta":{"container":null,"stop_reason":")" + reason +
                                    R"(","stop_sequence":)" + sequence +
                                    R"(,"stop_details":null},"usage":{)" + kCounts + "}") +
         event("message_stop", "");
}

const std::string kTextBlock = R"({"type":"text","text":""})";
const std::string kCallA = R"({"type":"tool_use","id":"toolu_a","name":"f","input":)";
const std::string kCallB = R"({"type":"tool_use","id":"toolu_x_functions-2ef-3a1","name":"f","input":)";
const std::string kCaller = R"(,"caller":{"type":"direct"}})";

TEST(MessageAnswer, is_one_message_with_its_blocks_in_order) {
  EXPECT_EQ(
      whole(pieces_in_order(), FinishReason::kToolCalls),
      kHead +
          R"({"type":"thinking","thinking":"hm","signature":"08ba5b07b55ebd0e"},)"
          R"({"type":"text","text":"I look."},)" +
          kCallA + R"({"a":1})" + kCaller + "," + kCallB + "{}" + kCaller +
          R"(,{"type":"text","text":"Done"}],"stop_reason":"tool_use","stop_sequence":null,"stop_details":null,"usage":{)" +
          kCounts + kFurther + "}");
}

TEST(MessageAnswer, streams_the_same_blocks) {
  EXPECT_EQ(stream(make_encoder(), pieces_in_order(), FinishReason::kToolCalls),
            beginning() + start(0, R"({"type":"thinking","thinking":"","signature":""})") +
                delta(0, R"("type":"thinking_delta","thinking":"hm")") +
                delta(0, R"("type":"signature_delta","signature":"08ba5b07b55ebd0e")") + stop(0) +
                start(1, kTextBlock) + delta(1, R"("type":"text_delta","text":"I look.")") + stop(1) +
                start(2, kCallA + "{}" + kCaller) +
                delta(2, R"("type":"input_json_delta","partial_json":"{\"a\":")") +
                delta(2, R"("type":"input_json_delta","partial_json":"1}")") + stop(2) +
                start(3, kCallB + "{}" + kCaller) +
                delta(3, R"("type":"input_json_delta","partial_json":"{}")") + stop(3) +
                start(4, kTextBlock) + delta(4, R"("type":"text_delta","text":"Done")") + stop(4) +
                ending("tool_use"));
}

TEST(MessageAnswer, what_was_no_call_after_all_never_began_as_one) {
  const std::vector<AnswerPiece> broken{{.text = "Ok "},
                                        {.kind = Kind::kCallBegin, .call_id = "call_a", .name = "f"},
                                        {.kind = Kind::kCallArguments, .text = "{\"a"},
                                        {.kind = Kind::kCallBroken, .text = "<tool_call>{\"a"}};
  EXPECT_EQ(stream(make_encoder(), broken, FinishReason::kLength),
            beginning() + start(0, kTextBlock) + delta(0, R"("type":"text_delta","text":"Ok ")") +
                delta(0, R"("type":"text_delta","text":"<tool_call>{\"a")") + stop(0) + ending("max_tokens"));
  EXPECT_NE(whole(broken, FinishReason::kLength).find(R"({"type":"text","text":"Ok <tool_call>{\"a"}],)"),
            std::string::npos);
}

// The last block says what was called; a part of its arguments must not be taken for all of them.
TEST(MessageAnswer, a_call_that_was_cut_off_has_no_input) {
  const std::vector<AnswerPiece> cut{{.text = "Ok"},
                                     {.kind = Kind::kCallBegin, .call_id = "call_a", .name = "f"},
                                     {.kind = Kind::kCallArguments, .text = "{\"a\":1"},
                                     {.kind = Kind::kCallCut}};
  EXPECT_EQ(stream(make_encoder(), cut, FinishReason::kLength),
            beginning() + start(0, kTextBlock) + delta(0, R"("type":"text_delta","text":"Ok")") + stop(0) +
                start(1, kCallA + "{}" + kCaller) +
                delta(1, R"("type":"input_json_delta","partial_json":"{}")") + stop(1) +
                ending("max_tokens"));
  EXPECT_NE(whole(cut, FinishReason::kLength)
                .find(R"({"type":"text","text":"Ok"},)" + kCallA + "{}" + kCaller + "]"),
            std::string::npos)
      << whole(cut, FinishReason::kLength);
}

TEST(BlockId, has_only_the_signs_that_anthropics_have_and_leads_back_to_the_models_own) {
  EXPECT_EQ(block_id("call_a1B"), "toolu_a1B");
  EXPECT_EQ(block_id("123456789"), "123456789");
  EXPECT_EQ(block_id("functions.read_file:0"), "toolu_x_functions-2eread_file-3a0");
  for (const std::string id :
       {"functions.read_file:0", "functions.a-b:12", "call_a.b", "", "é", "toolu_x_a", "abc", "toolu_a"}) {
    EXPECT_EQ(call_id_of(block_id(id)), id);
    EXPECT_EQ(
        block_id(id).find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"),
        std::string::npos);
  }
  for (const char* const foreign : {"toolu_x_a-zz", "toolu_x_a-2", "toolu_01"})
    EXPECT_EQ(call_id_of(foreign), foreign);
}

TEST(MessageAnswer, says_why_it_ended) {
  const auto has = [](const std::string& out, const std::string& part) {
    EXPECT_NE(out.find(part), std::string::npos) << out;
  };
  has(whole({}, FinishReason::kStop), R"("content":[],"stop_reason":"end_turn","stop_sequence":null)");
  has(whole({}, FinishReason::kStop, "a\"b"), R"("stop_reason":"stop_sequence","stop_sequence":"a\"b")");
  has(whole({}, FinishReason::kLength), R"("stop_reason":"max_tokens")");
  Usage cut = kUsage;
  cut.completion_tokens = 5;
  has(whole({}, FinishReason::kLength, "", cut), R"("stop_reason":"model_context_window_exceeded")");
  EXPECT_EQ(stream(make_encoder(), {}, FinishReason::kStop, "x"),
            beginning() + ending("stop_sequence", "\"x\""));
}

TEST(MessageAnswer, thoughts_can_be_left_out) {
  EXPECT_EQ(stream(make_encoder(true), {{.kind = Kind::kReasoning, .text = "hm"}}, FinishReason::kStop),
            beginning() + start(0, R"({"type":"thinking","thinking":"","signature":""})") +
                delta(0, R"("type":"signature_delta","signature":"08ba5b07b55ebd0e")") + stop(0) +
                ending("end_turn"));
  const Choice choice{.pieces = {{.kind = Kind::kReasoning, .text = "hm"}}};
  EXPECT_NE(
      make_encoder(true).whole({&choice, 1}, kUsage).find(R"("thinking":"","signature":"08ba5b07b55ebd0e")"),
      std::string::npos);
}

TEST(MessageAnswer, a_long_call_is_seen_to_go_on) {
  MessageAnswerEncoder encoder = make_encoder();
  std::string out;
  TextEvent event;
  event.pieces = {{.kind = Kind::kCallBegin, .call_id = "call_a", .name = "f"}};
  encoder.event(out, 0, event, kUsage);
  out.clear();
  event.pieces = {{.kind = Kind::kCallArguments, .text = " "}};
  for (int i = 0; i < 130; ++i) encoder.event(out, 0, event, kUsage);
  const std::string ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
  EXPECT_EQ(out, ping + ping);
}

TEST(MessageAnswer, a_fault_in_mid_stream_is_an_event) {
  std::string out;
  make_encoder().fail(out, Error(ErrorKind::kOverloaded, "busy"));
  EXPECT_EQ(out,
            "event: error\ndata: "
            "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n");
}

TEST(AnthropicErrors, have_anthropics_types_and_statuses) {
  struct Case {
    int status;
    Error error;
    int sent;
    std::string type;
  };
  const Case cases[] = {
      {400, invalid_argument("x", "y"), 400, "invalid_request_error"},
      {401, Error(ErrorKind::kUnauthorized, "x"), 401, "authentication_error"},
      {403, Error(ErrorKind::kForbidden, "x"), 403, "permission_error"},
      {404, Error(ErrorKind::kNotFound, "x"), 404, "not_found_error"},
      {405, Error(ErrorKind::kInvalidArgument, "x"), 405, "invalid_request_error"},
      {413, Error(ErrorKind::kTooLarge, "x"), 413, "request_too_large"},
      {429, Error(ErrorKind::kOverloaded, "x"), 429, "rate_limit_error"},
      {500, Error(ErrorKind::kInternal, "x"), 500, "api_error"},
      {503, Error(ErrorKind::kOverloaded, "x"), 529, "overloaded_error"},
      {503, Error(ErrorKind::kOutOfMemory, "x"), 529, "overloaded_error"},
      {503, Error(ErrorKind::kUnavailable, "x"), 503, "api_error"},
      {504, Error(ErrorKind::kTimeout, "x"), 504, "timeout_error"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(status_for(c.status, c.error), c.sent);
    EXPECT_EQ(encode_error(c.status, c.error, "r"),
              R"({"type":"error","error":{"type":")" + c.type + R"(","message":"x"},"request_id":"r"})");
  }
  EXPECT_NE(encode_error(400, Error(ErrorKind::kTooLarge, "it has 9 tokens"), "")
                .find(R"("message":"prompt is too long: it has 9 tokens"}})"),
            std::string::npos);
}

TEST(AnthropicModels, come_in_pages) {
  const ModelEntry models[] = {
      {.id = "a", .created = 86400, .context_tokens = 8192}, {.id = "b"}, {.id = "c"}};
  const auto list = [&](const char* query) {
    const auto page = read_model_page(query);
    const auto text = page.ok() ? encode_model_list(models, *page) : page.error();
    return text.ok() ? *text : text.error().message;
  };
  const std::string rest =
      R"("capabilities":null,"lifecycle":"active","line":null,"deprecated_at":null,"retires_at":null})";
  const std::string a =
      R"({"type":"model","id":"a","display_name":"a","created_at":"1970-01-02T00:00:00Z","max_input_tokens":8192,"max_tokens":8192,)" +
      rest;
  const auto other = [&](const std::string& id) {
    return R"({"type":"model","id":")" + id + R"(","display_name":")" + id +
           R"(","created_at":"1970-01-01T00:00:00Z","max_input_tokens":null,"max_tokens":null,)" + rest;
  };
  EXPECT_EQ(anthropic::encode_model(models[0]), a);
  EXPECT_EQ(list("beta=true"), R"({"data":[)" + a + "," + other("b") + "," + other("c") +
                                   R"(],"has_more":false,"first_id":"a","last_id":"c"})");
  EXPECT_EQ(list("limit=1"), R"({"data":[)" + a + R"(],"has_more":true,"first_id":"a","last_id":"a"})");
  EXPECT_EQ(list("limit=1&after_id=a"),
            R"({"data":[)" + other("b") + R"(],"has_more":true,"first_id":"b","last_id":"b"})");
  EXPECT_EQ(list("after_id=c"), R"({"data":[],"has_more":false,"first_id":null,"last_id":null})");
  EXPECT_EQ(list("limit=1&before_id=c"),
            R"({"data":[)" + other("b") + R"(],"has_more":true,"first_id":"b","last_id":"b"})");
  EXPECT_EQ(list("before_id=a"), R"({"data":[],"has_more":false,"first_id":null,"last_id":null})");
  for (const char* wrong :
       {"limit=0", "limit=1001", "limit=x", "after_id=z", "before_id=z", "after_id=a&before_id=b"})
    EXPECT_EQ(list(wrong).find("{"), std::string::npos) << wrong;
}

}  // namespace
}  // namespace mlxd::api::anthropic
