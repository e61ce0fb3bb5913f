#include "text/detokenizer.h"

#include <gtest/gtest.h>

#include <random>

#include "text/lossy_utf8.h"
#include "text/test_tokenizers.h"

namespace mlxd {
namespace {

/// Streams `tokens` and compares with decoding the whole; every piece must be whole characters.
void check(const Tokenizer& tokenizer, const std::vector<TokenId>& tokens, bool skip_special_tokens) {
  Detokenizer detokenizer(tokenizer, skip_special_tokens);
  std::string streamed;
  for (const TokenId token : tokens) {
    const std::string piece = detokenizer.push(token);
    EXPECT_TRUE(is_valid_utf8(piece));
    streamed += piece;
  }
  streamed += detokenizer.finish();
  auto whole = tokenizer.decode(tokens, skip_special_tokens);
  ASSERT_TRUE(whole.ok()) << whole.error().message;
  if (streamed != whole.value()) {
    std::string sequence;
    for (const TokenId token : tokens)
      sequence += std::to_string(token) + ":" + tokenizer.token_name(token) + " ";
    ADD_FAILURE() << "streamed \"" << streamed << "\"\nwhole    \"" << whole.value() << "\"\ntokens "
                  << sequence;
  }
}

void check_random(const Tokenizer& tokenizer, unsigned seed, int rounds) {
  std::mt19937 random(seed);
  for (int round = 0; round < rounds; ++round) {
    std::vector<TokenId> tokens(random() % 12);
    for (TokenId& token : tokens) {
      // Out-of-range ids now and then, and many from the ends, where special and multi-byte tokens are.
      const auto size = static_cast<unsigned>(tokenizer.vocab_size());
      switch (random() % 8) {
        case 0:
          token = static_cast<TokenId>(random() % 4);
          break;
        case 1:
        case 2:
          token = static_cast<TokenId>(size - 1 - random() % 12);
          break;
        case 3:
          token = static_cast<TokenId>(size + random() % 3) - (random() % 2 != 0 ? 0 : 2 * TokenId(size));
          break;
        default:
          token = static_cast<TokenId>(random() % size);
          break;
      }
    }
    check(tokenizer, tokens, round % 2 == 0);
  }
}

TEST(DetokenizerTest, RandomByteLevelTokensEqualDecoding) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  check_random(Tokenizer::parse(test::byte_level_tokenizer()).take_value(), seed, 3000);
}

TEST(DetokenizerTest, RandomTokensEqualDecodingForEveryDecoder) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  for (const auto& [name, decoder] : test::decoders()) {
    SCOPED_TRACE(name);
    auto tokenizer = Tokenizer::parse(test::byte_fallback_tokenizer(decoder));
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
    // Decoders that look back at what is already out can only be followed as far as that allows.
    if (name == "strips the end" || name == "word ends") continue;
    check_random(tokenizer.value(), seed, 1500);
  }
}

TEST(DetokenizerTest, UnusualDecodersStillStreamOrdinaryText) {
  for (const auto& [name, decoder] : test::decoders()) {
    SCOPED_TRACE(name);
    const Tokenizer tokenizer = Tokenizer::parse(test::byte_fallback_tokenizer(decoder)).take_value();
    const std::string mark = "\xE2\x96\x81";
    std::vector<TokenId> tokens;
    for (const std::string& token : {mark + "the", std::string("a"), mark + "the", std::string("a")}) {
      tokens.push_back(tokenizer.token_id(token));
    }
    check(tokenizer, tokens, true);
  }
}

TEST(DetokenizerTest, NeverSplitsACharacter) {
  const Tokenizer tokenizer = Tokenizer::parse(test::byte_level_tokenizer()).take_value();
  for (const std::string& text : {std::string("\xF0\x9F\x8D\x80"),
                                  std::string("a\xE4\xB8\xAD"
                                              "b"),
                                  std::string("\xC3\xA9")}) {
    Detokenizer detokenizer(tokenizer, true);
    std::string streamed;
    for (const char character : text) {
      const auto byte = static_cast<unsigned char>(character);
      const std::string piece = detokenizer.push(tokenizer.token_id(test::byte_level_name(byte)));
      EXPECT_TRUE(is_valid_utf8(piece));
      EXPECT_EQ(piece.find(kReplacementCharacter), std::string::npos);
      streamed += piece;
    }
    EXPECT_EQ(streamed, text);
    EXPECT_EQ(detokenizer.finish(), "");
  }
}

TEST(DetokenizerTest, AnIncompleteCharacterAtTheEndIsReplaced) {
  const Tokenizer tokenizer = Tokenizer::parse(test::byte_level_tokenizer()).take_value();
  Detokenizer detokenizer(tokenizer, true);
  EXPECT_EQ(detokenizer.push(tokenizer.token_id(test::byte_level_name(0xF0))), "");
  EXPECT_EQ(detokenizer.push(tokenizer.token_id(test::byte_level_name(0x9F))), "");
  EXPECT_EQ(detokenizer.finish(), kReplacementCharacter);
  EXPECT_EQ(detokenizer.finish(), "");
}

TEST(DetokenizerTest, RandomTokensOfTheDemoModelEqualDecoding) {
  const auto folder = test::model_folder();
  if (!folder) GTEST_SKIP() << "MLXD_TEST_MODEL names no model folder";
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  check_random(Tokenizer::open(*folder).take_value(), seed, 3000);
}

TEST(LossyUtf8Test, ReplacesMaximalSubpartsAtEveryCut) {
  const std::vector<std::pair<std::string, int>> cases = {{"plain", 0},
                                                          {"\xC3\xA9", 0},
                                                          {"\xF0\x9F\x8D\x80", 0},
                                                          {"\xFF", 1},
                                                          {"\xC0\x80", 2},
                                                          {"\xE0\x80\x80", 3},
                                                          {"\xED\xA0\x80", 3},
                                                          {"\xF4\x90\x80\x80", 4},
                                                          {"\xF0\x9F\x8D", 1},
                                                          {"\xE2\x82"
                                                           "a",
                                                           1},
                                                          {"\xF0\x9F\xF0\x9F\x8D\x80", 1},
                                                          {"\x80\x80", 2},
                                                          {"\xE2\x82\xE2\x82\xAC", 1},
                                                          {"\xF5\x80", 2},
                                                          {"\xC3", 1}};
  for (const auto& [bytes, replacements] : cases) {
    std::string reference;
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
      LossyUtf8 repair;
      std::string out;
      repair.push(std::string_view(bytes).substr(0, cut), out);
      repair.push(std::string_view(bytes).substr(cut), out);
      repair.finish(out);
      if (cut == 0) reference = out;
      EXPECT_EQ(out, reference);
      int found = 0;
      for (std::size_t at = out.find(kReplacementCharacter); at != std::string::npos;
           at = out.find(kReplacementCharacter, at + 1)) {
        ++found;
      }
      EXPECT_EQ(found, replacements);
    }
  }
}

}  // namespace
}  // namespace mlxd
