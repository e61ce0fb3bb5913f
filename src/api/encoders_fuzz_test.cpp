// Every encoder over random streams of events: whatever the model says, each answer, each event and each line
// is JSON, a stream says the same as the whole answer, and nothing breaks the framing. Seeds are fixed.
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api/anthropic/message_answer.h"
#include "api/collected_answer.h"
#include "api/json_text.h"
#include "api/ollama/answer.h"
#include "api/openai/chat_answer.h"
#include "api/openai/completion_answer.h"
#include "api/openai/response_answer.h"
#include "api/testing/json_fuzz.h"

namespace mlxd::api {
namespace {

namespace json = boost::json;
using testing::Dice;
using Kind = AnswerPiece::Kind;

#if defined(MLXD_SANITIZED)
constexpr std::uint32_t kRounds = 300;
#else
constexpr std::uint32_t kRounds = 2000;
#endif

json::value parse(std::string_view text) {
  json::error_code code;
  json::parse_options options;
  options.max_depth = 500;
  json::value value = json::parse(json::string_view(text.data(), text.size()), code, {}, options);
  EXPECT_FALSE(code) << text;
  return value;
}

TokenText random_token(Dice& dice) {
  TokenText token;
  token.token = static_cast<TokenId>(dice.below(1000));
  token.bytes = dice.one_in(2) ? dice.text(1) : dice.bytes(3);
  token.logprob =
      dice.pick(std::array<float, 4>{-0.5F, 0.0F, -1e30F, -std::numeric_limits<float>::infinity()});
  token.has_logprob = !dice.one_in(5);
  if (dice.one_in(5)) token.num_characters = static_cast<std::int64_t>(dice.below(4));
  for (std::size_t i = dice.below(3); i > 0; --i)
    token.top.push_back({static_cast<TokenId>(i), dice.bytes(3), -1.0F * static_cast<float>(i)});
  return token;
}

/// Events of one choice as the text pipeline gives them, the last with its end.
std::vector<TextEvent> random_events(Dice& dice, bool chat, bool logprobs) {
  std::vector<TextEvent> events;
  std::int32_t call = 0;
  std::vector<AnswerPiece> left;  // of a call that goes over several events
  bool has_calls = false;
  for (std::size_t i = dice.below(8); i > 0; --i) {
    TextEvent event;
    for (std::size_t k = dice.below(3) + 1; k > 0; --k) {
      if (!left.empty()) {
        event.pieces.push_back(std::move(left.front()));
        left.erase(left.begin());
        continue;
      }
      if (chat && dice.one_in(3)) {
        const std::string id = "call_" + std::to_string(call);
        const std::string arguments =
            dice.one_in(3)
                ? dice.text(20)
                : json::serialize(dice.one_in(4) ? dice.value() : json::object{{"a", dice.value()}});
        left.push_back(
            {.kind = Kind::kCallBegin, .call = call, .call_id = id, .name = "name" + dice.text(1)});
        for (std::size_t begin = 0; begin < arguments.size();) {
          std::size_t size = dice.below(9) + 1;
          while (begin + size < arguments.size() &&
                 (static_cast<unsigned char>(arguments[begin + size]) & 0xC0U) == 0x80U)
            ++size;
          left.push_back({.kind = Kind::kCallArguments, .text = arguments.substr(begin, size), .call = call});
          begin += size;
        }
        if (dice.one_in(6)) {
          left.push_back({.kind = Kind::kCallBroken, .text = dice.text() + arguments, .call = call});
        } else {
          left.push_back({.kind = Kind::kCallEnd, .call = call});
          has_calls = true;
        }
        ++call;
      } else {
        append_piece(event.pieces, {.kind = chat && dice.one_in(3) ? Kind::kReasoning : Kind::kContent,
                                    .text = dice.text()});
      }
    }
    if (logprobs) event.logprobs.push_back(random_token(dice));
    events.push_back(std::move(event));
  }
  TextEvent last;
  last.pieces = std::move(left);
  last.finish = has_calls
                    ? FinishReason::kToolCalls
                    : dice.pick(std::array<FinishReason, 2>{FinishReason::kStop, FinishReason::kLength});
  if (*last.finish == FinishReason::kStop && dice.one_in(3)) last.matched_stop = "x" + dice.text();
  events.push_back(std::move(last));
  return events;
}

Choice choice_of(const std::vector<TextEvent>& events) {
  Choice choice;
  for (const TextEvent& event : events) {
    for (const AnswerPiece& piece : event.pieces) append_piece(choice.pieces, piece);
    choice.logprobs.insert(choice.logprobs.end(), event.logprobs.begin(), event.logprobs.end());
    if (event.finish) choice.finish = *event.finish;
    if (!event.matched_stop.empty()) choice.matched_stop = event.matched_stop;
  }
  return choice;
}

/// The JSON of each event of a stream.
std::vector<json::value> frames(std::string_view stream, bool lines) {
  std::vector<json::value> all;
  const std::string_view end = lines ? "\n" : "\n\n";
  while (!stream.empty()) {
    const std::size_t size = stream.find(end);
    EXPECT_NE(size, std::string_view::npos) << stream;
    if (size == std::string_view::npos) return all;
    std::string_view frame = stream.substr(0, size);
    stream.remove_prefix(size + end.size());
    if (!lines) {
      if (frame.starts_with("event: ")) frame.remove_prefix(std::min(frame.find('\n') + 1, frame.size()));
      EXPECT_TRUE(frame.starts_with("data: ")) << frame;
      frame.remove_prefix(std::min<std::size_t>(6, frame.size()));
      if (frame == "[DONE]") {
        EXPECT_TRUE(stream.empty());
        continue;
      }
    }
    EXPECT_EQ(frame.find('\n'), std::string_view::npos) << frame;
    all.push_back(parse(frame));
  }
  return all;
}

struct Said {
  std::string content, reasoning;
  bool operator==(const Said&) const = default;
};

void add(std::string& to, const json::value& object, std::string_view key) {
  const json::value* value = object.as_object().if_contains(key);
  if (value != nullptr && value->is_string())
    to += std::string_view(value->get_string().data(), value->get_string().size());
}

struct Dialect {
  const char* name;
  bool chat;
  bool lines;
  std::int32_t choices;
  std::function<std::unique_ptr<AnswerEncoder>(bool logprobs)> make;
  /// What a choice of a stream's event, or of the whole answer, adds to what it says.
  std::function<void(const json::value&event, std::map<std::int64_t, Said>&said)> streamed, whole;
};

std::vector<Dialect> dialects() {
  const AnswerInfo info{.id = "R", .created = 5, .model = "m\"\n", .fingerprint = "fp"};
  std::vector<Dialect> all;
  const auto of_choices = [](const char* where, const char* content) {
    return [where, content](const json::value& event, std::map<std::int64_t, Said>& said) {
      const json::value* choices = event.as_object().if_contains("choices");
      if (choices == nullptr) return;
      for (const json::value& choice : choices->as_array()) {
        Said& one = said[choice.at("index").as_int64()];
        const json::value& from = *where == '\0' ? choice : choice.at(where);
        add(one.content, from, content);
        add(one.reasoning, from, "reasoning_content");
      }
    };
  };
  all.push_back({.name = "chat",
                 .chat = true,
                 .lines = false,
                 .choices = 2,
                 .make = [info](bool logprobs) -> std::unique_ptr<AnswerEncoder> {
                   return std::make_unique<openai::ChatAnswerEncoder>(openai::ChatAnswerEncoder::Options{
                       .info = info, .num_choices = 2, .logprobs = logprobs, .include_usage = logprobs});
                 },
                 .streamed = of_choices("delta", "content"),
                 .whole = of_choices("message", "content")});
  all.push_back({.name = "completion",
                 .chat = false,
                 .lines = false,
                 .choices = 2,
                 .make = [info](bool logprobs) -> std::unique_ptr<AnswerEncoder> {
                   return std::make_unique<openai::CompletionAnswerEncoder>(
                       openai::CompletionAnswerEncoder::Options{
                           .info = info, .num_choices = 2, .logprobs = logprobs, .include_usage = logprobs});
                 },
                 .streamed = of_choices("", "text"),
                 .whole = of_choices("", "text")});
  const auto ollama_says = [](const json::value& event, std::map<std::int64_t, Said>& said) {
    const json::value* message = event.as_object().if_contains("message");
    const json::value& from = message == nullptr ? event : *message;
    add(said[0].content, from, message == nullptr ? "response" : "content");
    add(said[0].reasoning, from, "thinking");
  };
  for (const auto kind :
       {ollama::OllamaAnswerEncoder::Kind::kChat, ollama::OllamaAnswerEncoder::Kind::kGenerate})
    all.push_back({.name = "ollama",
                   .chat = true,
                   .lines = true,
                   .choices = 1,
                   .make = [info, kind](bool) -> std::unique_ptr<AnswerEncoder> {
                     return std::make_unique<ollama::OllamaAnswerEncoder>(
                         ollama::OllamaAnswerEncoder::Options{.info = info, .kind = kind});
                   },
                   .streamed = ollama_says,
                   .whole = ollama_says});
  for (const bool hides : {false, true})
    all.push_back({.name = "messages",
                   .chat = true,
                   .lines = false,
                   .choices = 1,
                   .make = [info, hides](bool) -> std::unique_ptr<AnswerEncoder> {
                     return std::make_unique<anthropic::MessageAnswerEncoder>(
                         anthropic::MessageAnswerEncoder::Options{
                             .info = info, .max_tokens = 9, .hides_thinking = hides});
                   },
                   .streamed =
                       [](const json::value& event, std::map<std::int64_t, Said>& said) {
                         said[0];
                         if (event.at("type") != "content_block_delta") return;
                         add(said[0].content, event.at("delta"), "text");
                         add(said[0].reasoning, event.at("delta"), "thinking");
                       },
                   .whole =
                       [](const json::value& answer, std::map<std::int64_t, Said>& said) {
                         said[0];
                         for (const json::value& block : answer.at("content").as_array()) {
                           add(said[0].content, block, "text");
                           add(said[0].reasoning, block, "thinking");
                         }
                       }});
  for (const bool summary : {false, true})
    all.push_back({.name = "response",
                   .chat = true,
                   .lines = false,
                   .choices = 1,
                   .make = [info, summary](bool logprobs) -> std::unique_ptr<AnswerEncoder> {
                     auto details = std::make_shared<openai::ResponseDetails>();
                     details->echo_json = R"("background":false)";
                     details->logprobs = logprobs;
                     details->summary = summary;
                     details->encrypted_reasoning = logprobs;
                     return std::make_unique<openai::ResponseAnswerEncoder>(
                         openai::ResponseAnswerEncoder::Options{.info = info, .details = details});
                   },
                   .streamed =
                       [](const json::value& event, std::map<std::int64_t, Said>& said) {
                         said[0];
                         if (event.at("type") == "response.output_text.delta")
                           add(said[0].content, event, "delta");
                         if (event.at("type") == "response.reasoning_text.delta" ||
                             event.at("type") == "response.reasoning_summary_text.delta")
                           add(said[0].reasoning, event, "delta");
                       },
                   .whole =
                       [](const json::value& answer, std::map<std::int64_t, Said>& said) {
                         said[0];
                         for (const json::value& item : answer.at("output").as_array()) {
                           const bool thought = item.at("type") == "reasoning";
                           for (const char* key : {"summary", "content"}) {
                             const json::value* parts = item.as_object().if_contains(key);
                             if (parts == nullptr) continue;
                             for (const json::value& part : parts->as_array())
                               add(thought ? said[0].reasoning : said[0].content, part, "text");
                           }
                         }
                       }});
  return all;
}

Usage random_usage(Dice& dice) {
  Usage usage;
  usage.prompt_tokens = static_cast<std::int32_t>(dice.below(1000));
  usage.completion_tokens = static_cast<std::int32_t>(dice.below(1000));
  if (dice.one_in(3)) usage.reasoning_tokens = usage.completion_tokens / 2;
  if (dice.one_in(4)) usage.prediction = Usage::Prediction{1, 2};
  if (dice.one_in(4)) {
    CacheExplanation cache;
    cache.outcome = CacheOutcome::kDiverged;
    cache.prompt_before = dice.text();
    cache.cached_after = dice.text();
    cache.same_client = dice.one_in(2);
    usage.cache.assign(dice.below(2) + 1, cache);
  }
  return usage;
}

TEST(Encoders, make_JSON_of_all_that_a_model_may_say_and_stream_what_they_say_whole) {
  for (const Dialect& dialect : dialects()) {
    for (std::uint32_t seed = 0; seed < kRounds; ++seed) {
      SCOPED_TRACE(std::string(dialect.name) + ", seed " + std::to_string(seed));
      Dice dice(seed);
      const bool logprobs = dice.one_in(2);
      const Usage usage = random_usage(dice);
      std::vector<std::vector<TextEvent>> choices;
      std::vector<Choice> whole_choices;
      for (std::int32_t c = 0; c < dialect.choices; ++c) {
        choices.push_back(random_events(dice, dialect.chat, logprobs));
        whole_choices.push_back(choice_of(choices.back()));
      }
      const json::value whole = parse(dialect.make(logprobs)->whole(whole_choices, usage));
      std::map<std::int64_t, Said> said_whole;
      dialect.whole(whole, said_whole);

      const auto encoder = dialect.make(logprobs);
      const bool fails = dice.one_in(5);
      std::string out;
      encoder->begin(out);
      std::size_t left = 0;
      for (const auto& events : choices) left += events.size();
      std::vector<std::size_t> next(choices.size(), 0);
      while (left > 0 && !(fails && dice.one_in(4))) {
        const std::size_t c = dice.below(choices.size());
        if (next[c] == choices[c].size()) continue;
        encoder->event(out, static_cast<std::int32_t>(c), choices[c][next[c]++], usage);
        --left;
      }
      const bool failed = left > 0 || fails;
      if (failed)
        encoder->fail(out, Error(ErrorKind::kInternal, "it \"failed\"\n" + dice.text()));
      else
        encoder->end(out, usage);
      const std::vector<json::value> events = frames(out, dialect.lines);
      if (::testing::Test::HasFailure()) return;
      ASSERT_FALSE(events.empty());
      if (failed) continue;
      std::map<std::int64_t, Said> said;
      for (const json::value& event : events) dialect.streamed(event, said);
      EXPECT_EQ(said.size(), said_whole.size());
      for (const auto& [index, one] : said_whole) {
        EXPECT_EQ(said[index].content, one.content);
        EXPECT_EQ(said[index].reasoning, one.reasoning);
      }
      if (::testing::Test::HasFailure()) {
        ADD_FAILURE() << out << "\nwhole: " << json::serialize(whole);
        return;
      }
    }
  }
}

}  // namespace
}  // namespace mlxd::api
