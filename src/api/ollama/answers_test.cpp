#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <string>

#include "api/ollama/answer.h"
#include "api/ollama/error_body.h"
#include "api/ollama/models.h"
#include "api/ollama/timestamp.h"

namespace mlxd::api::ollama {
namespace {

namespace json = boost::json;
using Piece = AnswerPiece::Kind;
using Kind = OllamaAnswerEncoder::Kind;

// The request came at 1 s of the clock, its model was there 20 ns later, and it is 100 ns past now.
class OllamaAnswer : public ::testing::Test {
 protected:
  OllamaAnswer() { clock_.advance(Duration(100)); }

  OllamaAnswerEncoder encoder(Kind kind, bool unload = false) const {
    const TimePoint now = clock_.now();
    return OllamaAnswerEncoder({.info = {.id = "1",
                                         .created = 7,
                                         .model = "m",
                                         .fingerprint = "fp",
                                         .arrived = now - Duration(100),
                                         .loaded = now - Duration(80)},
                                .kind = kind,
                                .unload = unload,
                                .clock = &clock_,
                                .wall = [] { return WallTime(std::chrono::seconds(1700000000)); }});
  }

  FakeClock clock_;
  const Usage usage_ = [] {
    Usage usage;
    usage.prompt_tokens = 3;
    usage.completion_tokens = 2;
    usage.prompt_time = Duration(30);
    usage.generation_time = Duration(40);
    return usage;
  }();
  const std::string head_ = R"({"model":"m","created_at":"2023-11-14T22:13:20.000000000Z",)";
  const std::string counts_ =
      R"("total_duration":100,"load_duration":20,"prompt_eval_count":3,"prompt_eval_duration":30,"eval_count":2,"eval_duration":40})";
};

std::vector<AnswerPiece> pieces_with_calls() {
  return {{.kind = Piece::kReasoning, .text = "hm"},
          {.kind = Piece::kContent, .text = "I look."},
          {.kind = Piece::kCallBegin, .call_id = "c1", .name = "f"},
          {.kind = Piece::kCallArguments, .text = "{\"a\":"},
          {.kind = Piece::kCallArguments, .text = "1}"},
          {.kind = Piece::kCallEnd},
          {.kind = Piece::kCallBegin, .call = 1, .call_id = "c2", .name = "f"},
          {.kind = Piece::kCallArguments, .text = "{}", .call = 1},
          {.kind = Piece::kCallEnd, .call = 1}};
}

const std::string kCalls =
    R"("tool_calls":[{"id":"c1","function":{"index":0,"name":"f","arguments":{"a":1}}},)"
    R"({"id":"c2","function":{"index":1,"name":"f","arguments":{}}}])";

TEST_F(OllamaAnswer, is_one_object_with_counts_and_times) {
  const Choice choice{.pieces = pieces_with_calls(), .finish = FinishReason::kToolCalls};
  EXPECT_EQ(encoder(Kind::kChat).whole(std::span(&choice, 1), usage_),
            head_ + R"("message":{"role":"assistant","content":"I look.","thinking":"hm",)" + kCalls +
                R"(},"done":true,"done_reason":"stop",)" + counts_);
  const Choice text{.pieces = {{.text = "a\"b\n"}}, .finish = FinishReason::kLength};
  EXPECT_EQ(encoder(Kind::kGenerate).whole(std::span(&text, 1), usage_),
            head_ + R"("response":"a\"b\n","done":true,"done_reason":"length",)" + counts_);
}

TEST_F(OllamaAnswer, streams_lines_and_calls_in_one_piece) {
  OllamaAnswerEncoder chat = encoder(Kind::kChat);
  EXPECT_EQ(chat.stream_content_type(), "application/x-ndjson");
  EXPECT_FALSE(chat.takes_comments());
  std::string out;
  chat.begin(out);
  for (const AnswerPiece& piece : pieces_with_calls()) {
    TextEvent event;
    event.pieces.push_back(piece);
    chat.event(out, 0, event, {});
  }
  TextEvent last;
  last.finish = FinishReason::kToolCalls;
  chat.event(out, 0, last, {});
  chat.end(out, usage_);
  const std::string message = head_ + R"("message":{"role":"assistant",)";
  const std::string more = R"(},"done":false})"
                           "\n";
  EXPECT_EQ(
      out,
      message + R"("content":"","thinking":"hm")" + more + message + R"("content":"I look.")" + more +
          message +
          R"("content":"","tool_calls":[{"id":"c1","function":{"index":0,"name":"f","arguments":{"a":1}}}])" +
          more + message +
          R"("content":"","tool_calls":[{"id":"c2","function":{"index":1,"name":"f","arguments":{}}}])" +
          more + message + R"("content":""},"done":true,"done_reason":"stop",)" + counts_ + "\n");
}

TEST_F(OllamaAnswer, streams_responses_and_ends_with_an_error_line) {
  OllamaAnswerEncoder generate = encoder(Kind::kGenerate);
  std::string out;
  TextEvent event;
  event.pieces.push_back({.text = "Hé"});
  generate.event(out, 0, event, {});
  generate.fail(out, Error(ErrorKind::kTimeout, "too \"slow\""));
  EXPECT_EQ(out, head_ + R"("response":"Hé","done":false})"
                         "\n"
                         R"({"error":"too \"slow\""})"
                         "\n");
}

TEST_F(OllamaAnswer, keeps_arguments_that_a_model_indents_on_one_line) {
  std::string deep = "1";
  for (int i = 0; i < 60; ++i) deep = "[\n" + deep + "]";
  const Choice choice{
      .pieces = {{.kind = Piece::kCallBegin, .call_id = "c1", .name = "f"},
                 {.kind = Piece::kCallArguments, .text = "{\n  \"a\": \"b\\n\",\r\n  \"c\": "},
                 {.kind = Piece::kCallArguments, .text = deep + "\n}"},
                 {.kind = Piece::kCallEnd}},
      .finish = FinishReason::kToolCalls};
  const std::string whole = encoder(Kind::kChat).whole(std::span(&choice, 1), usage_);
  EXPECT_EQ(whole.find_first_of("\r\n"), std::string::npos) << whole;
  EXPECT_NE(whole.find(R"("arguments":{   "a": "b\n",    "c": [ [ [)"), std::string::npos) << whole;
}

TEST_F(OllamaAnswer, tells_what_was_no_call_as_text) {
  const Choice choice{.pieces = {{.kind = Piece::kCallBegin, .call_id = "c1", .name = "f"},
                                 {.kind = Piece::kCallArguments, .text = "{\"a"},
                                 {.kind = Piece::kCallBroken, .text = "<tool_call>{"}},
                      .finish = FinishReason::kStop};
  EXPECT_EQ(
      encoder(Kind::kChat).whole(std::span(&choice, 1), usage_),
      head_ + R"("message":{"role":"assistant","content":"<tool_call>{"},"done":true,"done_reason":"stop",)" +
          counts_);
}

TEST_F(OllamaAnswer, leaves_out_a_call_that_was_cut_off) {
  const Choice choice{.pieces = {{.text = "Ok"},
                                 {.kind = Piece::kCallBegin, .call_id = "c1", .name = "f"},
                                 {.kind = Piece::kCallArguments, .text = "{\"a"},
                                 {.kind = Piece::kCallCut}},
                      .finish = FinishReason::kLength};
  EXPECT_EQ(encoder(Kind::kChat).whole(std::span(&choice, 1), usage_),
            head_ + R"("message":{"role":"assistant","content":"Ok"},"done":true,"done_reason":"length",)" +
                counts_);
}

TEST_F(OllamaAnswer, carries_log_probabilities) {
  TextEvent event;
  event.pieces.push_back({.text = "a"});
  TokenText token;
  token.bytes = "a";
  token.logprob = -0.5F;
  token.top.push_back({.token = 1, .bytes = "\xC3", .logprob = -2.0F});
  event.logprobs.push_back(token);
  std::string out;
  encoder(Kind::kGenerate).event(out, 0, event, {});
  EXPECT_EQ(out, head_ + R"("response":"a","logprobs":[{"token":"a","logprob":-0.5,"bytes":[97],)"
                         R"("top_logprobs":[{"token":"\\xc3","logprob":-2,"bytes":[195]}]}],"done":false})"
                         "\n");
}

TEST_F(OllamaAnswer, says_that_a_model_was_loaded_or_let_go) {
  EXPECT_EQ(encoder(Kind::kChat).whole({}, {}),
            head_ + R"("message":{"role":"assistant","content":""},"done":true,"done_reason":"load"})");
  EXPECT_EQ(encoder(Kind::kGenerate, true).whole({}, {}),
            head_ + R"("response":"","done":true,"done_reason":"unload"})");
}

TEST(OllamaTimestamp, has_nanoseconds_and_is_utc) {
  EXPECT_EQ(timestamp(WallTime(
                std::chrono::duration_cast<WallTime::duration>(std::chrono::nanoseconds(1'000'002'000)))),
            "1970-01-01T00:00:01.000002000Z");
  EXPECT_EQ(timestamp_of_seconds(951782400), "2000-02-29T00:00:00.000000000Z");
  EXPECT_EQ(timestamp_of_seconds(-5), "1970-01-01T00:00:00.000000000Z");
  EXPECT_EQ(timestamp_of_seconds(std::int64_t{1} << 62U), timestamp_of_seconds(9'000'000'000));
}

TEST(OllamaModels, names_sizes_as_its_clients_show_them) {
  EXPECT_EQ(parameter_size(0), "");
  EXPECT_EQ(parameter_size(999), "999");
  EXPECT_EQ(parameter_size(134'515'008), "134.5M");
  EXPECT_EQ(parameter_size(8'030'000'000), "8.0B");
  EXPECT_EQ(quantization_level("4-bit, group 64"), "4bit");
  EXPECT_EQ(quantization_level("bfloat16"), "BF16");
  EXPECT_EQ(quantization_level("mxfp4"), "mxfp4");
}

ModelEntry some_model() {
  ModelEntry entry{.name = "org/m", .digest = "ab"};
  entry.facts.architecture = "llama";
  entry.facts.quantization = "4-bit, group 64";
  entry.facts.context_tokens = 2048;
  entry.facts.size_bytes = 70;
  entry.facts.num_parameters = 135'000'000;
  entry.facts.modified = 1700000000;
  entry.facts.tools = true;
  entry.facts.reasoning = true;
  entry.facts.shape.hidden_size = 576;
  return entry;
}

constexpr std::string_view kDetails =
    R"({"parent_model":"","format":"safetensors","family":"llama","families":["llama"],"parameter_size":"135.0M",)"
    R"("quantization_level":"4bit","context_length":2048,"embedding_length":576})";

TEST(OllamaModels, lists_what_there_is_and_what_is_loaded) {
  const ModelEntry entry = some_model();
  EXPECT_EQ(
      encode_tags(std::span(&entry, 1)),
      R"({"models":[{"name":"org/m","model":"org/m","modified_at":"2023-11-14T22:13:20.000000000Z","size":70,)"
      R"("digest":"ab","details":)" +
          std::string(kDetails) + R"(,"capabilities":["completion","tools","thinking"]}]})");
  const LoadedModel loaded{
      .entry = entry, .size_bytes = 99, .device_bytes = 0, .expires_at = 1700000300, .context_tokens = 1024};
  EXPECT_EQ(encode_loaded(std::span(&loaded, 1)),
            R"({"models":[{"name":"org/m","model":"org/m","size":99,"digest":"ab","details":)" +
                std::string(kDetails) +
                R"(,"expires_at":"2023-11-14T22:18:20.000000000Z","size_vram":0,"context_length":1024}]})");
  EXPECT_EQ(encode_tags({}), R"({"models":[]})");
}

TEST(OllamaModels, shows_all_about_one) {
  ModelCard card{.entry = some_model()};
  card.entry.facts.license = "apache-2.0";
  card.config =
      json::parse(R"({"hidden_size":576,"num_hidden_layers":30,"vocab_size":49152,"model_type":"llama"})")
          .as_object();
  card.chat_template = "{{ messages }}";
  card.license = "Apache";
  card.system = "Be brief.";
  card.defaults =
      json::parse(R"({"temperature":0.5,"stop":["a","b"],"max_tokens":9,"system":"Be brief.","template":{}})")
          .as_object();
  const json::value shown = json::parse(encode_card(card));
  EXPECT_EQ(shown.at("license"), "Apache");
  EXPECT_EQ(shown.at("modelfile"), "FROM org/m\n");
  EXPECT_EQ(shown.at("parameters"),
            "temperature                    0.5\nstop                           \"a\"\n"
            "stop                           \"b\"\nnum_predict                    9");
  EXPECT_EQ(shown.at("template"), "{{ messages }}");
  EXPECT_EQ(shown.at("system"), "Be brief.");
  EXPECT_EQ(shown.at("details"), json::parse(kDetails));
  const json::object& info = shown.at("model_info").as_object();
  EXPECT_EQ(info.at("general.architecture"), "llama");
  EXPECT_EQ(info.at("general.basename"), "m");
  EXPECT_EQ(info.at("general.parameter_count"), 135'000'000);
  EXPECT_EQ(info.at("llama.context_length"), 2048);
  EXPECT_EQ(info.at("llama.block_count"), 30);
  EXPECT_EQ(info.at("llama.vocab_size"), 49152);
  EXPECT_EQ(shown.at("capabilities"), json::parse(R"(["completion","tools","thinking"])"));
  EXPECT_EQ(shown.at("modified_at"), "2023-11-14T22:13:20.000000000Z");
}

}  // namespace
}  // namespace mlxd::api::ollama
