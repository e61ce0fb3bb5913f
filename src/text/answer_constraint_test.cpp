#include "text/answer_constraint.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "text/dialects/call_grammar.h"
#include "text/dialects/dialect_list.h"
#include "text/grammar_library.h"
#include "text/test_tokenizers.h"

namespace mlxd {
namespace {

using Start = dialects::OutputParser::Start;

class AnswerConstraintTest : public ::testing::Test {
 protected:
  AnswerConstraintTest()
      : tokenizer_(Tokenizer::parse(test::byte_level_tokenizer()).take_value()),
        end_(tokenizer_.token_id("<|end|>")),
        grammars_(tokenizer_, tokenizer_.vocab_size(), {end_}) {}

  std::shared_ptr<AnswerConstraint> make(const char* schema, std::optional<std::int32_t> budget,
                                         Start start) {
    AnswerConstraint::Options options{.tokenizer = &tokenizer_,
                                      .vocab_size = tokenizer_.vocab_size(),
                                      .end_tokens = {end_},
                                      .reasoning = {"<think>", "</think>"},
                                      .start = start,
                                      .thinking_budget = budget};
    if (schema != nullptr) options.grammar = grammars_.compile(GrammarKind::kJsonSchema, schema).take_value();
    return AnswerConstraint::create(std::move(options)).take_value();
  }

  static bool allows(std::span<const std::uint32_t> mask, TokenId token) {
    if (mask.empty()) return true;
    const auto word = static_cast<std::size_t>(token) / 32;
    return word < mask.size() && ((mask[word] >> (static_cast<unsigned>(token) % 32U)) & 1U) != 0;
  }

  /// What a model says that would say `wish` and then draws at random, within what it is allowed, until it
  /// ends.
  std::string say(AnswerConstraint& constraint, const std::string& wish, std::mt19937& random) {
    std::string said;
    std::size_t wished = 0;
    for (int i = 0; i < 400; ++i) {
      const auto mask = constraint.mask();
      TokenId token = kNoToken;
      if (wished < wish.size()) {
        token = tokenizer_.token_id(test::byte_level_name(static_cast<unsigned char>(wish[wished])));
        ++wished;
        if (!allows(mask, token)) {
          wished = wish.size();
          token = kNoToken;
        }
      }
      for (int tries = 0; token == kNoToken && tries < 1000000; ++tries) {
        const auto drawn = static_cast<TokenId>(random() % static_cast<unsigned>(tokenizer_.vocab_size()));
        if (allows(mask, drawn)) token = drawn;
      }
      EXPECT_NE(token, kNoToken) << "nothing is allowed after " << said;
      if (token == kNoToken) break;
      constraint.advance(token);
      EXPECT_FALSE(constraint.error()) << constraint.error()->message;
      if (token == end_) return said;
      said += tokenizer_.token_bytes(token);
    }
    return said + " (unended)";
  }

  const Tokenizer tokenizer_;
  const TokenId end_;
  GrammarLibrary grammars_;
};

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
    EXPECT_TRUE(is_answer(said.substr(said.find("</think>") + 8))) << said;
  }
  const auto constraint = make(kSchema, {}, Start::kReasoning);
  EXPECT_FALSE(allows(constraint->mask(), end_)) << "nothing has been answered yet";
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

// Whatever a model would say, it calls: in every dialect that can be forced, and its parser reads the calls.
TEST_F(AnswerConstraintTest, a_call_can_be_forced) {
  std::mt19937 random(1);
  const std::vector<Tool> tools = {
      {.name = "first",
       .declaration_json = {},
       .parameters_json =
           R"({"type": "object", "properties": {"unit": {"enum": ["C", "F"]}}, "required": ["unit"], "additionalProperties": false})"},
      {.name = "second", .declaration_json = {}, .parameters_json = {}}};
  std::size_t num_forced = 0;
  for (const dialects::ToolDialect* dialect : dialects::kToolDialects) {
    const auto grammar = dialects::call_grammar(*dialect, tools, true, tokenizer_);
    EXPECT_EQ(grammar.ok(), !dialect->frame.call_open.empty()) << dialect->name;
    if (!grammar.ok()) continue;
    ++num_forced;
    for (int round = 0; round < 10; ++round) {
      AnswerConstraint::Options options{
          .tokenizer = &tokenizer_, .vocab_size = tokenizer_.vocab_size(), .end_tokens = {end_}};
      auto compiled = grammars_.compile(GrammarKind::kLark, *grammar);
      ASSERT_TRUE(compiled.ok()) << compiled.error().message << "\n" << *grammar;
      options.grammar = compiled.take_value();
      const auto constraint = AnswerConstraint::create(std::move(options)).take_value();
      const std::string said = say(*constraint, "No.", random);
      SCOPED_TRACE(said);
      dialects::OutputParser parser({.tools = dialect}, tools, Start::kContent);
      std::vector<AnswerPiece> pieces = parser.push(said);
      for (AnswerPiece& piece : parser.finish()) append_piece(pieces, std::move(piece));
      EXPECT_GE(parser.num_complete_calls(), 1);
      for (const AnswerPiece& piece : pieces) {
        EXPECT_NE(piece.kind, AnswerPiece::Kind::kContent) << piece.text;
        EXPECT_NE(piece.kind, AnswerPiece::Kind::kCallBroken) << piece.text;
        if (piece.kind == AnswerPiece::Kind::kCallBegin) {
          EXPECT_TRUE(piece.name == "first" || piece.name == "second") << piece.name;
        }
      }
    }
  }
  EXPECT_GE(num_forced, 7U);
}

TEST_F(AnswerConstraintTest, what_is_not_supported_is_told_before_the_first_token) {
  for (const char* schema :
       {R"({"type": "object", "unevaluatedProperties": false, "minProperties": 3, "not": {"type": "null"}})",
        R"({"type": "strange"})", "{"}) {
    const auto compiled = grammars_.compile(GrammarKind::kJsonSchema, schema);
    ASSERT_FALSE(compiled.ok()) << schema;
    EXPECT_FALSE(compiled.error().message.empty());
  }
}

}  // namespace
}  // namespace mlxd
