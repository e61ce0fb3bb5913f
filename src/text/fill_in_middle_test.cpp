#include "text/fill_in_middle.h"

#include <gtest/gtest.h>

#include "text/test_tokenizers.h"

namespace mlxd {
namespace {

namespace json = boost::json;

Tokenizer with_tokens(std::string text, const std::vector<std::string>& names) {
  json::value tokenizer = json::parse(text);
  json::array& added = tokenizer.at("added_tokens").as_array();
  for (std::size_t i = 0; i < names.size(); ++i)
    added.push_back(test::added_token(400 + static_cast<int>(i), names[i], true));
  return Tokenizer::parse(json::serialize(tokenizer)).take_value();
}

// The prompt with its added tokens written out.
std::string filled(const Tokenizer& tokenizer, std::string_view prefix, std::string_view suffix) {
  const auto made = fill_in_middle(tokenizer, prefix, suffix);
  return made.ok() ? tokenizer.decode(made->prompt, false).take_value() : made.error().message;
}

TEST(FillInMiddle, writes_each_familys_form) {
  const std::string bytes = test::byte_level_tokenizer();
  const struct {
    std::vector<std::string> tokens;
    std::string prompt;
  } cases[] = {
      {{"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},
       "<|fim_prefix|>a =<|fim_suffix|>+ b<|fim_middle|>"},
      {{"<fim_prefix>", "<fim_suffix>", "<fim_middle>"}, "<fim_prefix>a =<fim_suffix>+ b<fim_middle>"},
      {{"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"},
       "<｜fim▁begin｜>a =<｜fim▁hole｜>+ b<｜fim▁end｜>"},
      {{"[PREFIX]", "[SUFFIX]"}, "[SUFFIX]+ b[PREFIX]a ="},
  };
  for (const auto& each : cases)
    EXPECT_EQ(filled(with_tokens(bytes, each.tokens), "a =", "+ b"), each.prompt);
}

TEST(FillInMiddle, begins_as_every_text_of_the_model_and_knows_what_ends_the_middle) {
  const Tokenizer tokenizer = with_tokens(test::byte_fallback_tokenizer(json::value(nullptr)),
                                          {"▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"});
  const FillInMiddle made = fill_in_middle(tokenizer, "a", "b").take_value();
  ASSERT_GT(made.prompt.size(), 4U);
  EXPECT_EQ(made.prompt.front(), tokenizer.token_id("<s>"));
  EXPECT_EQ(made.prompt[1], tokenizer.token_id("▁<PRE>"));
  EXPECT_EQ(made.prompt.back(), tokenizer.token_id("▁<MID>"));
  EXPECT_EQ(made.end_tokens, std::vector<TokenId>{tokenizer.token_id("▁<EOT>")});
}

TEST(FillInMiddle, needs_its_tokens) {
  const Tokenizer tokenizer = with_tokens(test::byte_level_tokenizer(), {"<|fim_prefix|>", "<|fim_suffix|>"});
  const auto made = fill_in_middle(tokenizer, "a", "b");
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().kind, ErrorKind::kUnsupported);
  EXPECT_EQ(made.error().field, "suffix");
}

}  // namespace
}  // namespace mlxd
