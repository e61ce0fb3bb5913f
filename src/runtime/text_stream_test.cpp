#include "runtime/text_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "model/testing/synthetic_model.h"
#include "text/dialects/dialect_list.h"

namespace mlxd {
namespace {

using testing::kSyntheticEosToken;
using testing::TemporaryFolder;

// The synthetic tokenizer: byte b is token b.
class TextStreamTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder();
    ASSERT_TRUE(testing::write_synthetic_model(folder_->path(), {}).ok());
    auto opened = Tokenizer::open(folder_->path());
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    tokenizer_ = new Tokenizer(opened.take_value());
  }
  static void TearDownTestSuite() {
    delete tokenizer_;
    delete folder_;
  }

  static std::vector<TokenEvent> events_of(std::string_view bytes) {
    std::vector<TokenEvent> events;
    for (const char byte : bytes) {
      TokenEvent& event = events.emplace_back();
      event.token = static_cast<unsigned char>(byte);
      event.logprob = -1.0F;
    }
    return events;
  }

  static TokenEvent end_event() {
    TokenEvent event;
    event.token = kSyntheticEosToken;
    event.finish = FinishReason::kStop;
    return event;
  }

  struct Outcome {
    std::string text;
    std::vector<AnswerPiece> pieces;
    std::string logprob_bytes;
    TextEvent last;
    std::int32_t completion_tokens = 0;
    std::int32_t reasoning_tokens = 0;
  };

  // Pushes `per_push` events at a time.
  static Outcome run(TextStream::Options options, std::vector<TokenEvent> events, std::size_t per_push) {
    options.stop_tokens = {kSyntheticEosToken};
    TextStream stream(*tokenizer_, std::move(options));
    Outcome outcome;
    for (std::size_t i = 0; i < events.size() && !outcome.last.finish && !outcome.last.error; i += per_push) {
      std::vector<TokenEvent> part(
          events.begin() + static_cast<std::ptrdiff_t>(i),
          events.begin() + static_cast<std::ptrdiff_t>(std::min(events.size(), i + per_push)));
      const auto event = stream.push(std::move(part));
      if (!event) continue;
      outcome.text += content_of(*event);
      for (const AnswerPiece& piece : event->pieces) append_piece(outcome.pieces, piece);
      for (const TokenText& token : event->logprobs) outcome.logprob_bytes += token.bytes;
      outcome.last = *event;
    }
    outcome.completion_tokens = stream.completion_tokens();
    outcome.reasoning_tokens = stream.reasoning_tokens();
    return outcome;
  }

  static inline TemporaryFolder* folder_ = nullptr;
  static inline Tokenizer* tokenizer_ = nullptr;
};

TEST_F(TextStreamTest, text_counts_and_finish_are_the_same_however_the_events_come) {
  struct Case {
    std::string bytes;
    bool ends;  // an end token follows
    std::vector<std::string> stops;
    std::string text;
    std::string logprob_bytes;
    FinishReason finish;
    std::string matched;
    std::int32_t tokens;
  };
  const Case cases[] = {
      {"hello", true, {}, "hello", "hello", FinishReason::kStop, "", 6},
      {"hello", false, {}, "hello", "hello", FinishReason::kLength, "", 5},
      {"hello END more", true, {"END"}, "hello ", "hello ", FinishReason::kStop, "END", 9},
      {"hello ENough", true, {"END"}, "hello ENough", "hello ENough", FinishReason::kStop, "", 13},
      {"hello EN", true, {"END"}, "hello EN", "hello EN", FinishReason::kStop, "", 9},
      {"hello EN", false, {"END"}, "hello EN", "hello EN", FinishReason::kLength, "", 8},
      {"hello END", false, {"END"}, "hello ", "hello ", FinishReason::kStop, "END", 9},
      {"a\n\nb", true, {"\n\n", "b"}, "a", "a", FinishReason::kStop, "\n\n", 3},
      {"gr\xC3\xBC\xC3\x9F",
       true,
       {},
       "gr\xC3\xBC\xC3\x9F",
       "gr\xC3\xBC\xC3\x9F",
       FinishReason::kStop,
       "",
       7},
      {"cut \xC3", false, {}, "cut \xEF\xBF\xBD", "cut \xC3", FinishReason::kLength, "", 5},
  };
  for (const Case& c : cases) {
    std::vector<TokenEvent> events = events_of(c.bytes);
    if (c.ends) {
      events.push_back(end_event());
    } else {
      events.back().finish = FinishReason::kLength;
    }
    for (const std::size_t per_push : {std::size_t{1}, std::size_t{2}, std::size_t{3}, events.size()}) {
      TextStream::Options options;
      options.stop_strings = c.stops;
      options.logprobs = true;
      const Outcome outcome = run(std::move(options), events, per_push);
      EXPECT_EQ(outcome.text, c.text) << c.bytes << " by " << per_push;
      EXPECT_EQ(outcome.logprob_bytes, c.logprob_bytes) << c.bytes << " by " << per_push;
      EXPECT_EQ(outcome.last.finish, c.finish) << c.bytes << " by " << per_push;
      EXPECT_EQ(outcome.last.matched_stop, c.matched) << c.bytes << " by " << per_push;
      EXPECT_EQ(outcome.completion_tokens, c.tokens) << c.bytes << " by " << per_push;
    }
  }
}

TEST_F(TextStreamTest, holds_back_what_may_begin_a_stop_string) {
  TextStream::Options options;
  options.stop_strings = {"END"};
  TextStream stream(*tokenizer_, std::move(options));
  EXPECT_EQ(content_of(*stream.push(events_of("aE"))), "a");
  EXPECT_FALSE(stream.push(events_of("N")));
  EXPECT_EQ(content_of(*stream.push(events_of("O"))), "ENO");
}

TEST_F(TextStreamTest, a_character_comes_whole) {
  TextStream stream(*tokenizer_, {});
  EXPECT_FALSE(stream.push(events_of("\xE2")));
  EXPECT_FALSE(stream.push(events_of("\x82")));
  EXPECT_EQ(content_of(*stream.push(events_of("\xAC"))), "\xE2\x82\xAC");
}

TEST_F(TextStreamTest, an_error_ends_the_stream_with_itself) {
  std::vector<TokenEvent> events = events_of("ab");
  TokenEvent& failed = events.emplace_back();
  failed.error = Error(ErrorKind::kInternal, "a kernel failed");
  const Outcome outcome = run({}, events, 10);
  EXPECT_EQ(outcome.text, "ab");
  ASSERT_TRUE(outcome.last.error);
  EXPECT_EQ(outcome.last.error->message, "a kernel failed");
  EXPECT_FALSE(outcome.last.finish);
  EXPECT_EQ(outcome.completion_tokens, 2);
}

TEST_F(TextStreamTest, logprobs_carry_alternatives_and_valid_text) {
  std::vector<TokenEvent> events = events_of("\xC3");
  events[0].logprob = -0.5F;
  events[0].top_logprobs = {{0xC3, -0.5F}, {'x', -1.5F}};
  TextStream::Options options;
  options.logprobs = true;
  TextStream stream(*tokenizer_, std::move(options));
  const auto event = stream.push(std::move(events));
  ASSERT_TRUE(event);
  ASSERT_EQ(event->logprobs.size(), 1U);
  const TokenText& token = event->logprobs[0];
  EXPECT_EQ(token.bytes, "\xC3");
  EXPECT_EQ(token.text, "\xEF\xBF\xBD");
  EXPECT_EQ(token.logprob, -0.5F);
  ASSERT_EQ(token.top.size(), 2U);
  EXPECT_EQ(token.top[1].bytes, "x");
  EXPECT_EQ(token.top[1].logprob, -1.5F);
}

const std::vector<Tool>& weather_tool() {
  static const std::vector<Tool> tools = {
      {.name = "weather", .declaration_json = "{}", .parameters_json = "{}"}};
  return tools;
}

TextStream::Options parsing_options(std::vector<std::string> stops) {
  TextStream::Options options{.stop_strings = std::move(stops), .logprobs = true};
  options.parser.emplace(
      dialects::OutputFormat{.reasoning = {"<think>", "</think>"}, .tools = &dialects::hermes},
      weather_tool(), dialects::OutputParser::Start::kContent);
  return options;
}

TEST_F(TextStreamTest, tells_reasoning_and_calls_from_content_and_counts_what_was_thought) {
  using Kind = AnswerPiece::Kind;
  const std::string thought = "<think>\nwhy END\n</think>";
  const std::string raw =
      thought + "\n\nSo.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"at\": 1}}\n</tool_call>";
  std::vector<TokenEvent> events = events_of(raw);
  events.push_back(end_event());
  for (const std::size_t per_push : {std::size_t{1}, std::size_t{7}, events.size()}) {
    const Outcome outcome = run(parsing_options({"END"}), events, per_push);
    ASSERT_EQ(outcome.pieces.size(), 5U) << per_push;
    EXPECT_EQ(outcome.pieces[0], (AnswerPiece{.kind = Kind::kReasoning, .text = "why END"}));
    EXPECT_EQ(outcome.pieces[1], (AnswerPiece{.text = "So."}));
    EXPECT_EQ(outcome.pieces[2], (AnswerPiece{.kind = Kind::kCallBegin, .name = "weather"}));
    EXPECT_EQ(outcome.pieces[3], (AnswerPiece{.kind = Kind::kCallArguments, .text = "{\"at\": 1}"}));
    EXPECT_EQ(outcome.pieces[4], (AnswerPiece{.kind = Kind::kCallEnd}));
    EXPECT_EQ(outcome.last.finish, FinishReason::kToolCalls);
    EXPECT_EQ(outcome.logprob_bytes, raw);
    EXPECT_GT(outcome.reasoning_tokens, 8) << "the thought";
    EXPECT_LE(outcome.reasoning_tokens, static_cast<std::int32_t>(thought.size()) + 2);
  }
}

TEST_F(TextStreamTest, stop_strings_end_content_only_and_calls_can_be_bounded) {
  using Kind = AnswerPiece::Kind;
  const std::string call = "<tool_call>{\"name\": \"weather\", \"arguments\": {}}</tool_call>";
  Outcome outcome = run(parsing_options({"STOP"}), events_of("<think>STOP</think>a STOP b"), 3);
  EXPECT_EQ(outcome.text, "a ");
  EXPECT_EQ(outcome.last.matched_stop, "STOP");
  EXPECT_EQ(outcome.last.finish, FinishReason::kStop);
  for (const std::int32_t most : {1, 2}) {
    TextStream::Options bounded = parsing_options({});
    bounded.max_calls = most;
    outcome = run(std::move(bounded), events_of(call + call + call), 5);
    EXPECT_EQ(outcome.last.finish, FinishReason::kToolCalls);
    EXPECT_EQ(std::count_if(outcome.pieces.begin(), outcome.pieces.end(),
                            [](const AnswerPiece& piece) { return piece.kind == Kind::kCallBegin; }),
              most);
  }
}

}  // namespace
}  // namespace mlxd
