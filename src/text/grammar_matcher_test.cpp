#include "text/grammar_matcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "text/test_tokenizers.h"

namespace mlxd {
namespace {

using ::testing::HasSubstr;

struct Fixture {
  Fixture() : tokenizer(Tokenizer::parse(test::byte_level_tokenizer()).take_value()) {
    end = tokenizer.token_id("<|end|>");
    environment.emplace(
        GrammarEnvironment::create(tokenizer, tokenizer.vocab_size() + 40, std::vector{end}).take_value());
    mask.resize(environment->mask_words());
  }

  bool allowed(TokenId token) const {
    return ((mask[static_cast<std::size_t>(token) / 32] >> (static_cast<unsigned>(token) % 32)) & 1U) != 0;
  }
  TokenId byte(char character) const {
    return tokenizer.token_id(test::byte_level_name(static_cast<unsigned char>(character)));
  }

  Tokenizer tokenizer;
  TokenId end;
  std::optional<GrammarEnvironment> environment;
  std::vector<std::uint32_t> mask;
};

TEST(GrammarMatcherTest, AllowsExactlyWhatTheRegexAllows) {
  Fixture fixture;
  auto matcher = fixture.environment->compile(GrammarKind::kRegex, "(hello|hat) w").take_value();
  ASSERT_TRUE(matcher.compute_mask(fixture.mask).ok());
  for (TokenId token = 0; token < fixture.environment->vocab_size(); ++token) {
    const std::string bytes = fixture.tokenizer.token_bytes(token);
    const bool fits = !bytes.empty() && !fixture.tokenizer.is_special(token) &&
                      (std::string("hello w").starts_with(bytes) || std::string("hat w").starts_with(bytes));
    EXPECT_EQ(fixture.allowed(token), fits) << token << " " << bytes;
  }
  ASSERT_TRUE(matcher.accept(fixture.tokenizer.token_id("hell")).ok());
  EXPECT_FALSE(matcher.is_accepting().value());
  const auto refused = matcher.accept(fixture.byte('x'));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kInvalidArgument);
  ASSERT_TRUE(matcher.accept(fixture.byte('o')).ok()) << "a refused token leaves the state as it was";
  ASSERT_TRUE(matcher.accept(fixture.tokenizer.token_id("\xC4\xA0w")).ok());
  EXPECT_TRUE(matcher.is_accepting().value());
  ASSERT_TRUE(matcher.compute_mask(fixture.mask).ok());
  for (TokenId token = 0; token < fixture.environment->vocab_size(); ++token) {
    EXPECT_EQ(fixture.allowed(token), token == fixture.end);
  }
}

TEST(GrammarMatcherTest, RandomWalksUnderASchemaGiveValidJson) {
  Fixture fixture;
  const std::string schema =
      R"({"type":"object","properties":{"name":{"type":"string","maxLength":5},"count":{"type":"integer","minimum":0,
          "maximum":99},"tags":{"type":"array","items":{"enum":["a","hello"]},"maxItems":2}},
          "required":["name","count"],"additionalProperties":false})";
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 20; ++round) {
    auto matcher = fixture.environment->compile(GrammarKind::kJsonSchema, schema).take_value();
    std::string text;
    for (int step = 0; step < 400; ++step) {
      ASSERT_TRUE(matcher.compute_mask(fixture.mask).ok());
      std::vector<TokenId> choices;
      for (TokenId token = 0; token < fixture.environment->vocab_size(); ++token) {
        if (fixture.allowed(token)) choices.push_back(token);
      }
      ASSERT_FALSE(choices.empty()) << text;
      const TokenId token = choices[random() % choices.size()];
      const auto accepted = matcher.accept(token);
      ASSERT_TRUE(accepted.ok()) << text << ": " << accepted.error().message;
      if (token == fixture.end) break;
      text += fixture.tokenizer.token_bytes(token);
      // Whitespace may go on for ever; what matters is that every end is a valid one.
      if (text.size() > 300) break;
    }
    if (text.size() > 300) continue;
    boost::system::error_code failure;
    const auto value = test::json::parse(text, failure);
    ASSERT_FALSE(failure) << text;
    EXPECT_TRUE(value.as_object().at("name").is_string());
    EXPECT_TRUE(value.as_object().at("count").is_int64());
  }
}

TEST(GrammarMatcherTest, FollowsLarkGrammars) {
  Fixture fixture;
  auto matcher =
      fixture.environment->compile(GrammarKind::kLark, "start: \"he\" \"llo\" | /[0-9]+/").take_value();
  ASSERT_TRUE(matcher.accept(fixture.tokenizer.token_id("hello")).ok());
  EXPECT_TRUE(matcher.is_accepting().value());
  EXPECT_TRUE(matcher.is_stopped().value());
}

TEST(GrammarMatcherTest, RefusesWhatItCannotCompile) {
  Fixture fixture;
  const std::vector<std::pair<GrammarKind, std::string>> bad = {
      {GrammarKind::kJsonSchema, "{"},
      {GrammarKind::kJsonSchema, R"({"type":"nonsense"})"},
      {GrammarKind::kJsonSchema, R"({"$ref":"#/nowhere"})"},
      {GrammarKind::kJsonSchema, R"({"type":"string","pattern":"("})"},
      {GrammarKind::kRegex, "(unclosed"},
      {GrammarKind::kLark, "start: undefined_rule"},
      {GrammarKind::kLark, ""},
      {GrammarKind::kJsonSchema, std::string(100'000, '[')},
      {GrammarKind::kRegex, std::string(20'000, '(')},
      {GrammarKind::kLark, std::string("\xFF")},
  };
  for (const auto& [kind, source] : bad) {
    auto matcher = fixture.environment->compile(kind, source);
    ASSERT_FALSE(matcher.ok()) << source.substr(0, 60);
    EXPECT_FALSE(matcher.error().message.empty());
    EXPECT_LT(matcher.error().message.size(), 2000U);
  }
  EXPECT_EQ(fixture.environment->compile(GrammarKind::kRegex, std::string(5U << 20U, 'a')).error().kind,
            ErrorKind::kTooLarge);
}

TEST(GrammarMatcherTest, RefusesModelsAndTokensThatDoNotFit) {
  Fixture fixture;
  const std::int32_t size = fixture.tokenizer.vocab_size();
  EXPECT_FALSE(GrammarEnvironment::create(fixture.tokenizer, size - 1, std::vector{fixture.end}).ok());
  EXPECT_FALSE(GrammarEnvironment::create(fixture.tokenizer, -1, std::vector{fixture.end}).ok());
  EXPECT_FALSE(GrammarEnvironment::create(fixture.tokenizer, size, {}).ok());
  EXPECT_FALSE(GrammarEnvironment::create(fixture.tokenizer, size, std::vector<TokenId>{-1}).ok());
  EXPECT_FALSE(GrammarEnvironment::create(fixture.tokenizer, size, std::vector<TokenId>{size}).ok());
  auto matcher = fixture.environment->compile(GrammarKind::kRegex, "a").take_value();
  EXPECT_FALSE(matcher.accept(-1).ok());
  EXPECT_FALSE(matcher.accept(size + 1000).ok());
  std::vector<std::uint32_t> small(1);
  EXPECT_THAT(matcher.compute_mask(small).error().message, HasSubstr("too short"));
  EXPECT_TRUE(matcher.accept(fixture.byte('a')).ok());
}

TEST(GrammarMatcherTest, OutlivesItsEnvironment) {
  auto fixture = std::make_unique<Fixture>();
  auto matcher = fixture->environment->compile(GrammarKind::kRegex, "[0-9]{2}").take_value();
  const TokenId digit = fixture->byte('7');
  fixture->environment.reset();
  EXPECT_TRUE(matcher.accept(digit).ok());
  EXPECT_TRUE(matcher.compute_mask(fixture->mask).ok());
  EXPECT_TRUE(matcher.accept(digit).ok());
  EXPECT_TRUE(matcher.is_accepting().value());
}

}  // namespace
}  // namespace mlxd
