#include "text/answer_constraint.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <random>
#include <regex>
#include <set>
#include <string>

#include "text/answer_grammar.h"
#include "text/dialects/dialect_list.h"
#include "text/grammar_library.h"
#include "text/lark_text.h"
#include "text/test_tokenizers.h"

namespace mlxd {
namespace {

using Start = dialects::OutputParser::Start;

bool allows(std::span<const std::uint32_t> mask, TokenId token) {
  if (mask.empty()) return true;
  const auto word = static_cast<std::size_t>(token) / 32;
  return word < mask.size() && ((mask[word] >> (static_cast<unsigned>(token) % 32U)) & 1U) != 0;
}

std::vector<std::uint32_t> words_of(std::span<const std::uint32_t> mask) {
  return {mask.begin(), mask.end()};
}

/// Of the next token.
std::vector<std::uint32_t> next_mask(AnswerConstraint& constraint) {
  if (constraint.look_ahead({})) constraint.compute_masks();
  return words_of(constraint.mask(0));
}

/// A model's vocabulary, and one that speaks it without sense.
struct Speaker {
  explicit Speaker(const std::vector<std::string>& special, std::string_view end_token)
      : tokenizer(Tokenizer::parse(test::byte_level_tokenizer(special)).take_value()),
        end(tokenizer.token_id(end_token)),
        grammars(tokenizer, tokenizer.vocab_size(), {end}) {}

  std::shared_ptr<AnswerConstraint> follow(const Grammar& grammar) {
    AnswerConstraint::Options options{
        .tokenizer = &tokenizer, .vocab_size = tokenizer.vocab_size(), .end_tokens = {end}};
    auto compiled = grammars.compile(grammar);
    EXPECT_TRUE(compiled.ok()) << compiled.error().message << "\n" << grammar.source;
    options.grammar = compiled.take_value();
    return AnswerConstraint::create(std::move(options)).take_value();
  }

  /// The tokens of a wish: special ones and bytes.
  std::vector<TokenId> spell(std::string_view text) const {
    std::vector<TokenId> tokens;
    while (!text.empty()) {
      std::size_t size = 1;
      TokenId token = special_token_at(text, tokenizer, size);
      if (token == kNoToken) {
        size = 1;
        token = tokenizer.token_id(test::byte_level_name(static_cast<unsigned char>(text.front())));
      }
      tokens.push_back(token);
      text.remove_prefix(size);
    }
    return tokens;
  }

  /// What a model says that would say `wish` and then draws at random, within what it is allowed, until it
  /// ends.
  std::string say(AnswerConstraint& constraint, const std::string& wish, std::mt19937& random) const {
    std::string said;
    const std::vector<TokenId> wished = spell(wish);
    std::size_t place = 0;
    for (int i = 0; i < 4000; ++i) {
      const auto mask = next_mask(constraint);
      TokenId token = kNoToken;
      if (place < wished.size()) {
        token = wished[place++];
        if (!allows(mask, token)) {
          place = wished.size();
          token = kNoToken;
        }
      }
      for (int tries = 0; token == kNoToken && tries < 1000000; ++tries) {
        const auto drawn = static_cast<TokenId>(random() % static_cast<unsigned>(tokenizer.vocab_size()));
        if (allows(mask, drawn)) token = drawn;
      }
      EXPECT_NE(token, kNoToken) << "nothing is allowed after " << said;
      if (token == kNoToken) break;
      constraint.advance(token);
      EXPECT_FALSE(constraint.error()) << constraint.error()->message;
      if (token == end) return said;
      said += tokenizer.token_bytes(token);
    }
    return said + " (unended)";
  }

  const Tokenizer tokenizer;
  const TokenId end;
  GrammarLibrary grammars;
};

class AnswerConstraintTest : public ::testing::Test {
 protected:
  std::shared_ptr<AnswerConstraint> make(const char* schema, std::optional<std::int32_t> budget,
                                         Start start) {
    AnswerConstraint::Options options{.tokenizer = &speaker_.tokenizer,
                                      .vocab_size = speaker_.tokenizer.vocab_size(),
                                      .end_tokens = {speaker_.end},
                                      .reasoning = {"<think>", "</think>"},
                                      .start = start,
                                      .thinking_budget = budget};
    if (schema != nullptr)
      options.grammar = speaker_.grammars.compile({GrammarKind::kJsonSchema, schema}).take_value();
    return AnswerConstraint::create(std::move(options)).take_value();
  }
  std::string say(AnswerConstraint& constraint, const std::string& wish, std::mt19937& random) const {
    return speaker_.say(constraint, wish, random);
  }

  /// One for each dialect: gpt-oss's channels are special tokens always.
  Speaker& speaker_of(const dialects::ToolDialect& dialect) {
    return dialect.name == "gpt_oss" ? harmony_ : speaker_;
  }

  Speaker speaker_{{}, "<|end|>"};
  Speaker harmony_{{"<|return|>", "<|channel|>", "<|message|>", "<|start|>", "<|constrain|>", "<|call|>"},
                   "<|return|>"};
};

// What a step computes at once is what steps compute one by one, whatever the phase.
TEST_F(AnswerConstraintTest, looking_ahead_gives_the_masks_that_come_one_by_one) {
  const char* const schema =
      R"({"type":"object","properties":{"state":{"enum":["open","closed"]},"n":{"type":"integer"}},"required":["state","n"]})";
  struct Case {
    const char* schema;
    std::optional<std::int32_t> budget;
    Start start;
    const char* wish;
  };
  std::mt19937 random(3);
  for (const Case& c : {Case{schema, {}, Start::kContent, R"({"state": "open", "n": 12})"},
                        Case{schema, 4, Start::kReasoning, "hmm, I think so"},
                        Case{schema, {}, Start::kContent, R"(<think>a b</think>{"state":"closed","n":1})"},
                        Case{nullptr, 3, Start::kContent, "<think>well, well"}}) {
    std::vector<TokenId> said;
    std::vector<std::vector<std::uint32_t>> masks;
    const auto one_by_one = make(c.schema, c.budget, c.start);
    const std::vector<TokenId> wished = speaker_.spell(c.wish);
    for (std::size_t i = 0; i < 40; ++i) {
      masks.push_back(next_mask(*one_by_one));
      TokenId token = i < wished.size() ? wished[i] : speaker_.end;
      while (!allows(masks.back(), token))
        token = static_cast<TokenId>(random() % static_cast<unsigned>(speaker_.tokenizer.vocab_size()));
      said.push_back(token);
      one_by_one->advance(token);
    }
    const auto ahead = make(c.schema, c.budget, c.start);
    for (std::size_t i = 0; i < said.size();) {
      const std::size_t count = std::min<std::size_t>(random() % 6, said.size() - 1 - i);
      const auto guesses = std::span(said).subspan(i, count);
      EXPECT_LE(ahead->num_allowed(guesses), static_cast<std::int32_t>(count));
      if (ahead->look_ahead(guesses)) ahead->compute_masks();
      for (std::size_t k = 0; k <= count; ++k)
        EXPECT_EQ(words_of(ahead->mask(k)), masks[i + k]) << c.wish << " " << i << " + " << k;
      // Not all of what was looked at has to come.
      const std::size_t come = std::min(1 + random() % (count + 1), said.size() - i);
      for (std::size_t k = 0; k < come; ++k) ahead->advance(said[i + k]);
      i += come;
      EXPECT_FALSE(ahead->error());
    }
  }
}

TEST_F(AnswerConstraintTest, a_guess_that_is_refused_lets_nothing_follow_and_changes_nothing) {
  const auto constraint = speaker_.follow({GrammarKind::kJsonSchema, R"({"const":"no"})"});
  const std::vector<TokenId> guesses = speaker_.spell(R"("na)");
  EXPECT_EQ(constraint->num_allowed(guesses), 2);
  ASSERT_TRUE(constraint->look_ahead(guesses));
  constraint->compute_masks();
  EXPECT_TRUE(allows(constraint->mask(2), speaker_.spell("o").front()));
  for (const std::uint32_t word : constraint->mask(3)) EXPECT_EQ(word, 0U);
  for (const TokenId token : speaker_.spell(R"("no")")) {
    EXPECT_TRUE(allows(next_mask(*constraint), token));
    constraint->advance(token);
  }
  EXPECT_TRUE(allows(next_mask(*constraint), speaker_.end));
  EXPECT_FALSE(constraint->error());
}

TEST_F(AnswerConstraintTest, what_must_come_is_foreseen) {
  const auto constraint = speaker_.follow({GrammarKind::kJsonSchema, R"({"enum":["one house","one home"]})"});
  std::vector<TokenId> foreseen;
  constraint->foresee(15, foreseen);
  EXPECT_EQ(foreseen, speaker_.spell(R"("one ho)"));
  foreseen.clear();
  constraint->foresee(3, foreseen);
  EXPECT_EQ(foreseen, speaker_.spell(R"("on)"));
  EXPECT_EQ(constraint->num_allowed(foreseen), 3);
  for (const TokenId token : speaker_.spell(R"("one ho)")) constraint->advance(token);
  foreseen.clear();
  constraint->foresee(15, foreseen);
  EXPECT_TRUE(foreseen.empty()) << "there is a choice";

  const auto closing = make(nullptr, 0, Start::kReasoning);
  closing->foresee(15, foreseen);
  EXPECT_FALSE(foreseen.empty()) << "the closing marker";
  for (const TokenId token : foreseen) {
    EXPECT_TRUE(allows(next_mask(*closing), token));
    closing->advance(token);
  }
  EXPECT_TRUE(next_mask(*closing).empty());
}

dialects::OutputFormat format_of(const dialects::ToolDialect& dialect) {
  return {.tools = &dialect, .is_harmony = dialect.name == "gpt_oss"};
}

constexpr const char* kSchema = R"({"enum": ["yes", "no", 7]})";

bool is_answer(const std::string& text) { return text == "\"yes\"" || text == "\"no\"" || text == "7"; }

TEST_F(AnswerConstraintTest, an_answer_matches_from_its_first_token) {
  std::mt19937 random(1);
  for (int round = 0; round < 20; ++round) {
    const std::string said = say(*make(kSchema, {}, Start::kContent), "well, ", random);
    EXPECT_TRUE(is_answer(said)) << said;
  }
}

// Space without an end would be an answer without one.
TEST_F(AnswerConstraintTest, space_is_a_blank_or_a_line_break_with_indentation) {
  const char* schema =
      R"({"type":"object","properties":{"a":{"type":"null"}},"required":["a"],"additionalProperties":false})";
  std::mt19937 random(5);
  for (const std::string wish : {"{\n    \"a\": null\n}", "{\"a\":null}", "{ \"a\" : null }"})
    EXPECT_EQ(say(*make(schema, {}, Start::kContent), wish, random).substr(0, wish.size()), wish);
  for (const std::string wish : {"{\"a\":  ", "{\n\n", "{\t"}) {
    const std::string said = say(*make(schema, {}, Start::kContent), wish, random);
    EXPECT_NE(said.substr(0, wish.size()), wish);
  }
}

TEST_F(AnswerConstraintTest, the_grammar_begins_when_reasoning_has_ended) {
  std::mt19937 random(1);
  for (int round = 0; round < 20; ++round) {
    const std::string said = say(*make(kSchema, {}, Start::kReasoning), "hm {7} \n</think>", random);
    ASSERT_TRUE(said.starts_with("hm {7} \n</think>")) << said;
    const std::size_t begin = said.find_first_not_of('\n', said.find("</think>") + 8);
    EXPECT_LE(begin, said.find("</think>") + 10) << said;
    EXPECT_TRUE(is_answer(said.substr(begin))) << said;
  }
  const auto constraint = make(kSchema, {}, Start::kReasoning);
  EXPECT_FALSE(allows(next_mask(*constraint), speaker_.end)) << "nothing has been answered yet";
  // The layout that models write after their own marker is theirs, and no more than that.
  for (const TokenId token : speaker_.spell("hm</think>\n\n")) {
    ASSERT_TRUE(allows(next_mask(*constraint), token));
    constraint->advance(token);
  }
  EXPECT_FALSE(allows(next_mask(*constraint), speaker_.spell("\n").front()));
  EXPECT_FALSE(allows(next_mask(*constraint), speaker_.end));
  EXPECT_TRUE(is_answer(say(*constraint, "", random)));
}

TEST_F(AnswerConstraintTest, reasoning_ends_within_its_budget) {
  std::mt19937 random(1);
  const std::string thought(50, 'q');
  const std::string close = "\n</think>\n\n";
  std::string said = say(*make(kSchema, 10, Start::kReasoning), thought, random);
  ASSERT_TRUE(said.starts_with(thought.substr(0, 10) + close)) << said;
  EXPECT_TRUE(is_answer(said.substr(10 + close.size()))) << said;
  said = say(*make(kSchema, 0, Start::kReasoning), thought, random);
  EXPECT_TRUE(said.starts_with(close)) << said;
  // Begun by the model itself, in several tokens, and without a grammar.
  said = say(*make(nullptr, 4, Start::kContent), "\n<think>" + thought, random);
  EXPECT_TRUE(said.starts_with("\n<think>qqqq" + close)) << said;
  said = say(*make(nullptr, 4, Start::kContent), thought, random);
  EXPECT_TRUE(said.starts_with(thought)) << "no reasoning, no budget: " << said;
}

const std::vector<Tool>& some_tools() {
  static const std::vector<Tool> tools = {
      {.name = "first",
       .declaration_json = {},
       .parameters_json =
           R"({"type": "object", "properties": {"unit": {"enum": ["C", "F"]}}, "required": ["unit"], "additionalProperties": false})",
       .strict = true},
      {.name = "second", .declaration_json = {}, .parameters_json = {}, .strict = true},
      {.name = "third",
       .declaration_json = {},
       .parameters_json =
           R"({"type": "object", "properties": {"text": {"type": "string", "maxLength": 8}, "count": {"type": "integer", "minimum": 1, "maximum": 9}, "on": {"type": "boolean"}, "list": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 3}, "minItems": 1, "maxItems": 2}}, "required": ["text", "on"], "additionalProperties": false})",
       .strict = true}};
  return tools;
}

/// Whether the arguments of a call of `name` are what its schema says.
void expect_arguments(const std::string& name, const std::string& arguments) {
  boost::json::error_code code;
  const boost::json::value parsed = boost::json::parse(arguments, code);
  ASSERT_FALSE(code) << arguments;
  ASSERT_TRUE(parsed.is_object()) << arguments;
  const boost::json::object& object = parsed.get_object();
  if (name == "first") {
    ASSERT_EQ(object.size(), 1U) << arguments;
    EXPECT_TRUE(object.at("unit") == "C" || object.at("unit") == "F") << arguments;
  } else if (name == "second") {
    EXPECT_TRUE(object.empty()) << arguments;
  } else {
    ASSERT_EQ(name, "third");
    ASSERT_TRUE(object.at("text").is_string()) << arguments;
    EXPECT_TRUE(object.at("on").is_bool()) << arguments;
    if (object.contains("count")) {
      ASSERT_TRUE(object.at("count").is_int64()) << arguments;
      EXPECT_GE(object.at("count").get_int64(), 1);
      EXPECT_LE(object.at("count").get_int64(), 9);
    }
    if (object.contains("list")) {
      ASSERT_TRUE(object.at("list").is_array()) << arguments;
      EXPECT_GE(object.at("list").get_array().size(), 1U);
      EXPECT_LE(object.at("list").get_array().size(), 2U);
      for (const boost::json::value& item : object.at("list").get_array()) EXPECT_TRUE(item.is_int64());
    }
    EXPECT_LE(object.size(), 4U) << arguments;
  }
}

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += (i > 0 ? ", " : "") + text;
  return all;
}

struct Heard {
  std::string content;
  std::vector<std::pair<std::string, std::string>> calls;  // names and arguments
  bool broken = false;
};

Heard hear(const std::string& said, const dialects::OutputFormat& format, const std::vector<Tool>& tools) {
  dialects::OutputParser parser(format, tools, Start::kContent);
  std::vector<AnswerPiece> pieces = parser.push(said);
  for (AnswerPiece& piece : parser.finish()) append_piece(pieces, std::move(piece));
  Heard heard;
  for (const AnswerPiece& piece : pieces) {
    if (piece.kind == AnswerPiece::Kind::kContent) heard.content += piece.text;
    if (piece.kind == AnswerPiece::Kind::kCallBegin) heard.calls.emplace_back(piece.name, "");
    if (piece.kind == AnswerPiece::Kind::kCallArguments) heard.calls.back().second += piece.text;
    if (piece.kind == AnswerPiece::Kind::kCallBroken) heard.broken = true;
  }
  return heard;
}

// Whatever a model would say, it calls: in every dialect, and its parser reads the calls as the schemas say.
TEST_F(AnswerConstraintTest, a_call_can_be_forced_or_no_more_than_so_many) {
  std::mt19937 random(1);
  for (const dialects::ToolDialect* dialect : dialects::kToolDialects) {
    const dialects::OutputFormat format = format_of(*dialect);
    Speaker& speaker = speaker_of(*dialect);
    for (const std::int32_t most : {0, 3}) {
      const AnswerWish wish{.tools = some_tools(), .must_call = true, .max_calls = most};
      const auto grammar = answer_grammar(wish, format, speaker.tokenizer);
      ASSERT_TRUE(grammar.ok()) << dialect->name << ": " << grammar.error().message;
      std::set<std::string> names;
      std::set<std::size_t> numbers;
      for (int round = 0; round < 40; ++round) {
        const std::string said = speaker.say(*speaker.follow(**grammar),
                                             format.is_harmony ? "<|channel|>commentary to=" : "No.", random);
        SCOPED_TRACE(std::string(dialect->name) + ": " + said);
        const Heard heard = hear(said, format, some_tools());
        EXPECT_GE(heard.calls.size(), 1U);
        EXPECT_EQ(heard.content, "");
        EXPECT_FALSE(heard.broken);
        for (const auto& [name, arguments] : heard.calls) {
          expect_arguments(name, arguments);
          names.insert(name);
        }
        numbers.insert(heard.calls.size());
      }
      EXPECT_EQ(names.size(), 3U) << dialect->name;
      const bool one_only = format.is_harmony || dialect->frame.one_only;
      if (most == 0) continue;
      EXPECT_EQ(numbers, one_only ? std::set<std::size_t>({1}) : std::set<std::size_t>({1, 2, 3}))
          << dialect->name;
    }
  }
}

// gpt-oss thinks in a channel, with no marker of its own that could be written for it.
TEST_F(AnswerConstraintTest, harmony_thinks_within_its_budget) {
  std::mt19937 random(1);
  const dialects::OutputFormat format = format_of(dialects::gpt_oss);
  const std::string opening = "<|channel|>analysis<|message|>";
  for (const std::int32_t budget : {0, 1, 5}) {
    const auto grammar =
        answer_grammar({.tools = some_tools(), .thinking_budget = budget}, format, harmony_.tokenizer);
    ASSERT_TRUE(grammar.ok() && *grammar);
    const auto constraint = harmony_.follow(**grammar);
    std::vector<TokenId> said;
    const std::vector<TokenId> wished = harmony_.spell(opening + "one two three, and so on");
    for (const TokenId token : wished) {
      if (!allows(next_mask(*constraint), token)) break;
      constraint->advance(token);
      said.push_back(token);
    }
    const std::size_t marks = harmony_.spell(opening).size();
    if (budget == 0) {
      EXPECT_LT(said.size(), marks) << "no analysis at all";
      continue;
    }
    EXPECT_EQ(said.size(), marks + static_cast<std::size_t>(budget));
    const std::string rest = "<|end|><|start|>assistant<|channel|>final<|message|>So be it.";
    for (const TokenId token : harmony_.spell(rest)) {
      ASSERT_TRUE(allows(next_mask(*constraint), token)) << harmony_.tokenizer.token_bytes(token);
      constraint->advance(token);
    }
    EXPECT_TRUE(allows(next_mask(*constraint), harmony_.end));
    EXPECT_FALSE(constraint->error());
  }
}

// A model that may call says what it likes, but its calls keep to strict schemas.
TEST_F(AnswerConstraintTest, strict_tools_hold_calls_and_leave_text_free) {
  std::mt19937 random(1);
  for (const dialects::ToolDialect* dialect : dialects::kToolDialects) {
    const dialects::OutputFormat format = format_of(*dialect);
    Speaker& speaker = speaker_of(*dialect);
    const auto grammar = answer_grammar({.tools = some_tools()}, format, speaker.tokenizer);
    ASSERT_TRUE(grammar.ok()) << dialect->name << ": " << grammar.error().message;
    const std::string opening =
        format.is_harmony ? "<|channel|>commentary to=functions."
                          : std::string(dialect->frame.section_open) + std::string(dialect->frame.call_open);
    const std::string before =
        format.is_harmony || dialect->read_unmarked != nullptr ? std::string() : "Let me see. ";
    for (int round = 0; round < 10; ++round) {
      const std::string said =
          speaker.say(*speaker.follow(**grammar),
                      before + opening + "third" + std::string(dialect->frame.arguments_open), random);
      SCOPED_TRACE(std::string(dialect->name) + ": " + said);
      const Heard heard = hear(said, format, some_tools());
      ASSERT_GE(heard.calls.size(), 1U);
      EXPECT_FALSE(heard.broken);
      for (const auto& [name, arguments] : heard.calls) expect_arguments(name, arguments);
    }
    // Text alone, to its own end.
    const std::string words =
        format.is_harmony ? "<|channel|>final<|message|>1 < 2, is it?" : "1 < 2, is it?";
    const auto constraint = speaker.follow(**grammar);
    for (const TokenId token : speaker.spell(words)) {
      ASSERT_TRUE(allows(next_mask(*constraint), token)) << dialect->name;
      constraint->advance(token);
    }
    EXPECT_TRUE(allows(next_mask(*constraint), speaker.end)) << dialect->name;
  }
}

TEST_F(AnswerConstraintTest, the_answer_s_form_holds_beside_tools) {
  std::mt19937 random(1);
  const Grammar content{GrammarKind::kJsonSchema, kSchema};
  std::size_t num_answers = 0;
  std::size_t num_calls = 0;
  for (const dialects::ToolDialect* dialect : dialects::kToolDialects) {
    const dialects::OutputFormat format = format_of(*dialect);
    Speaker& speaker = speaker_of(*dialect);
    const auto grammar =
        answer_grammar({.content = &content, .tools = some_tools()}, format, speaker.tokenizer);
    EXPECT_EQ(grammar.ok(), dialect->read_unmarked == nullptr) << dialect->name;
    if (!grammar.ok()) continue;
    for (int round = 0; round < 20; ++round) {
      const std::string said = speaker.say(*speaker.follow(**grammar), "", random);
      SCOPED_TRACE(std::string(dialect->name) + ": " + said);
      const Heard heard = hear(said, format, some_tools());
      if (heard.calls.empty()) {
        ++num_answers;
        EXPECT_TRUE(is_answer(heard.content));
      } else {
        ++num_calls;
        EXPECT_EQ(heard.content, "");
      }
      for (const auto& [name, arguments] : heard.calls) expect_arguments(name, arguments);
    }
  }
  EXPECT_GT(num_answers, 20U);
  EXPECT_GT(num_calls, 20U);
}

TEST_F(AnswerConstraintTest, a_lark_grammar_holds_beside_tools_and_in_channels) {
  std::mt19937 random(1);
  // Names of its own, which are those of the grammar around it too, and signs that could end it.
  const Grammar content{
      GrammarKind::kLark,
      "start: call (SEPARATOR call){1,3} // }\ncall: \"{\" /[a-z]{1,4}/ \"}\"\nSEPARATOR: \", \"\n"};
  const auto is_list = [](const std::string& text) {
    return std::regex_match(text, std::regex(R"(\{[a-z]{1,4}\}(, \{[a-z]{1,4}\}){1,3})"));
  };
  for (const dialects::ToolDialect* dialect :
       {&dialects::hermes, &dialects::mistral, &dialects::mistral_v11, &dialects::gpt_oss}) {
    const dialects::OutputFormat format = format_of(*dialect);
    Speaker& speaker = speaker_of(*dialect);
    const auto grammar =
        answer_grammar({.content = &content, .tools = some_tools()}, format, speaker.tokenizer);
    ASSERT_TRUE(grammar.ok()) << grammar.error().message;
    std::size_t num_answers = 0;
    for (int round = 0; round < 30; ++round) {
      const std::string said = speaker.say(*speaker.follow(**grammar),
                                           format.is_harmony ? "<|channel|>final<|message|>" : "{", random);
      SCOPED_TRACE(std::string(dialect->name) + ": " + said);
      const Heard heard = hear(said, format, some_tools());
      if (!heard.calls.empty()) continue;
      ++num_answers;
      EXPECT_TRUE(is_list(heard.content));
    }
    EXPECT_GT(num_answers, 10U) << dialect->name;
  }
}

TEST_F(AnswerConstraintTest, what_a_dialect_cannot_hold_to_is_refused) {
  const std::vector<Tool> tools = {
      {.name = "f",
       .declaration_json = {},
       .parameters_json =
           R"({"type": "object", "properties": {"day": {"type": "string", "format": "date"}}})",
       .strict = true}};
  const auto refused =
      answer_grammar({.tools = tools}, {.tools = &dialects::qwen3_coder}, speaker_.tokenizer);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kUnsupported);
  EXPECT_NE(refused.error().message.find("'day' has \"format\""), std::string::npos)
      << refused.error().message;
  EXPECT_TRUE(answer_grammar({.tools = tools}, {.tools = &dialects::hermes}, speaker_.tokenizer).ok());
  const Grammar lark{GrammarKind::kLark, "start: \"a\""};
  EXPECT_FALSE(answer_grammar({.tools = tools}, {}, speaker_.tokenizer).ok());
  EXPECT_EQ(answer_grammar({.content = &lark}, {}, speaker_.tokenizer)->value(), lark);
  EXPECT_FALSE(answer_grammar({}, {}, speaker_.tokenizer)->has_value());
}

// References make a few lines of schema a tree without end: refused, or cut short, at once.
TEST_F(AnswerConstraintTest, schemas_that_refer_to_themselves_end) {
  const std::string wide = R"({"anyOf": [)" + repeated(R"({"$ref": "#/$defs/n"})", 30) + "]}";
  const std::string nested =
      R"({"type": "object", "properties": {"v": {"type": "string", "maxLength": 2}, "next": {"$ref": "#/$defs/n"}}})";
  const std::string many =
      R"({"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"$ref": "#/$defs/n"}, "c": {"$ref": "#/$defs/n"}, "d": {"$ref": "#/$defs/n"}}})";
  for (const std::string& definition : {wide, nested, many}) {
    const std::vector<Tool> tools = {
        {.name = "f",
         .declaration_json = {},
         .parameters_json = R"({"$defs": {"n": )" + definition +
                            R"(}, "type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}})"}};
    for (const dialects::ToolDialect* dialect : dialects::kToolDialects) {
      const AnswerWish wish{.tools = tools, .must_call = true};
      const auto grammar = answer_grammar(wish, format_of(*dialect), speaker_of(*dialect).tokenizer);
      if (!grammar.ok()) {
        EXPECT_EQ(grammar.error().kind, ErrorKind::kUnsupported) << dialect->name;
      }
      dialects::OutputParser parser(format_of(*dialect), tools, Start::kContent);
      EXPECT_FALSE(parser.in_reasoning());
    }
  }
}

TEST_F(AnswerConstraintTest, a_grammar_is_compiled_once_and_each_answer_follows_its_own_copy) {
  std::mt19937 random(1);
  const Grammar grammar{GrammarKind::kRegex, "[ab]{3}/c?"};
  const auto first = speaker_.follow(grammar);
  EXPECT_EQ(say(*first, "abb/c", random), "abb/c");
  EXPECT_EQ(say(*speaker_.follow(grammar), "bbb/", random).substr(0, 4), "bbb/");
}

TEST_F(AnswerConstraintTest, what_is_not_supported_is_told_before_the_first_token) {
  for (const char* schema :
       {R"({"type": "object", "unevaluatedProperties": false, "minProperties": 3, "not": {"type": "null"}})",
        R"({"type": "strange"})", "{"}) {
    const auto compiled = speaker_.grammars.compile({GrammarKind::kJsonSchema, schema});
    ASSERT_FALSE(compiled.ok()) << schema;
    EXPECT_FALSE(compiled.error().message.empty());
  }
}

}  // namespace
}  // namespace mlxd
