#include "server/prompt_echo.h"

#include <gtest/gtest.h>

#include <limits>
#include <memory>

#include "text/test_tokenizers.h"

namespace mlxd {
namespace {

const Tokenizer& sentence_piece() {
  static const Tokenizer tokenizer =
      Tokenizer::parse(test::byte_fallback_tokenizer(test::decoders().front().second)).take_value();
  return tokenizer;
}
const Tokenizer& byte_level() {
  static const Tokenizer tokenizer = Tokenizer::parse(test::byte_level_tokenizer()).take_value();
  return tokenizer;
}

TextEvent echoed(const Tokenizer& tokenizer, const api::RawPrompt& prompt,
                 const std::vector<TokenId>& tokens) {
  auto echo = PromptEcho::create(tokenizer, prompt, tokens, true);
  EXPECT_TRUE(echo.ok());
  EXPECT_TRUE(echo->awaits_scores());
  echo->set_scores(std::make_shared<PromptScores>(tokens.size() - 1));
  EXPECT_FALSE(echo->awaits_scores());
  TextEvent event;
  echo->put_before(tokenizer, event);
  return event;
}

/// How many characters of the text each token has.
std::vector<std::int64_t> sizes(const TextEvent& event) {
  std::vector<std::int64_t> sizes;
  for (const TokenText& token : event.logprobs) sizes.push_back(token.num_characters.value_or(-1));
  return sizes;
}

std::vector<std::int64_t> sizes_of(const Tokenizer& tokenizer, const std::string& text) {
  const TextEvent event = echoed(tokenizer, text, tokenizer.encode(text, true).take_value());
  EXPECT_EQ(content_of(event), text);
  return sizes(event);
}

using Sizes = std::vector<std::int64_t>;

TEST(PromptEcho, gives_each_token_its_part_of_the_text) {
  EXPECT_EQ(sizes_of(byte_level(), "hello wo!"), (Sizes{5, 3, 1}));
  EXPECT_EQ(sizes_of(byte_level(), "\xC3\xA9h"), (Sizes{1, 0, 1}));  // a character of two tokens
  EXPECT_EQ(sizes_of(byte_level(), "<|end|>hello"), (Sizes{7, 5}));
  // A BOS and a space that the text has not.
  EXPECT_EQ(sizes_of(sentence_piece(), "a \xC3\xA9"), (Sizes{0, 0, 1, 1, 1}));
  EXPECT_EQ(sizes_of(sentence_piece(), " a"), (Sizes{0, 1, 0, 1}));
}

TEST(PromptEcho, special_tokens_are_no_text_of_a_prompt_of_token_ids) {
  const TokenId end = byte_level().token_id("<|end|>");
  const TokenId hello = byte_level().token_id("hello");
  const TextEvent event = echoed(byte_level(), std::vector<TokenId>{end, hello, end}, {end, hello, end});
  EXPECT_EQ(content_of(event), "hello");
  EXPECT_EQ(sizes(event), (Sizes{0, 5, 0}));
  EXPECT_EQ(event.logprobs[0].bytes, "<|end|>");
}

TEST(PromptEcho, what_the_tokenizer_changed_costs_no_later_token_its_place) {
  const TokenId hello = byte_level().token_id("hello");
  const TokenId bang = byte_level().token_id("!");
  EXPECT_EQ(sizes(echoed(byte_level(), std::string("HELLO!hello"), {hello, bang, hello})), (Sizes{11, 0, 0}));
  EXPECT_EQ(sizes(echoed(byte_level(), std::string("HI!hello!"), {bang, hello, bang})), (Sizes{3, 5, 1}));
  // What is left over is the last one's, so that the answer begins where it begins.
  EXPECT_EQ(sizes(echoed(byte_level(), std::string("hello and more"), {hello, bang})), (Sizes{5, 9}));
}

TEST(PromptEcho, scores_every_token_but_the_first) {
  const std::vector<TokenId> tokens = byte_level().encode("hello!", true).take_value();
  ASSERT_EQ(tokens.size(), 2U);
  PromptEcho echo = PromptEcho::create(byte_level(), std::string("hello!"), tokens, true).take_value();
  const TokenId he = byte_level().token_id("he");
  echo.set_scores(std::make_shared<PromptScores>(
      PromptScores{{-std::numeric_limits<float>::infinity(), {{he, -0.5F}, {tokens[1], -2.0F}}}}));
  TextEvent event;
  event.pieces.push_back({.text = " So"});
  event.logprobs.emplace_back();
  echo.put_before(byte_level(), event);
  EXPECT_EQ(content_of(event), "hello! So");
  ASSERT_EQ(event.logprobs.size(), 3U);
  EXPECT_FALSE(event.logprobs[0].has_logprob);
  EXPECT_TRUE(event.logprobs[0].top.empty());
  EXPECT_TRUE(event.logprobs[1].has_logprob);
  EXPECT_EQ(event.logprobs[1].logprob, -std::numeric_limits<float>::infinity());
  ASSERT_EQ(event.logprobs[1].top.size(), 2U);
  EXPECT_EQ(event.logprobs[1].top[0].bytes, "he");
  EXPECT_EQ(event.logprobs[1].top[1].logprob, -2.0F);
}

TEST(PromptEcho, is_text_alone_where_no_tokens_are_listed) {
  const PromptEcho echo = PromptEcho::create(byte_level(), std::string("hello!"), {}, false).take_value();
  EXPECT_FALSE(echo.awaits_scores());
  TextEvent event;
  echo.put_before(byte_level(), event);
  EXPECT_EQ(content_of(event), "hello!");
  EXPECT_TRUE(event.logprobs.empty());
}

}  // namespace
}  // namespace mlxd
