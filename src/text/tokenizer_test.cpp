#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "text/test_tokenizers.h"

namespace mlxd {
namespace {

using ::testing::HasSubstr;

Tokenizer byte_level() {
  auto tokenizer = Tokenizer::parse(test::byte_level_tokenizer());
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  return tokenizer.take_value();
}

Tokenizer byte_fallback() {
  auto tokenizer = Tokenizer::parse(test::byte_fallback_tokenizer(test::decoders().front().second));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  return tokenizer.take_value();
}

std::vector<std::string> names(const Tokenizer& tokenizer, std::string_view text, bool add_special_tokens) {
  auto tokens = tokenizer.encode(text, add_special_tokens);
  EXPECT_TRUE(tokens.ok()) << tokens.error().message;
  std::vector<std::string> out;
  for (const TokenId token : tokens.value()) out.push_back(tokenizer.token_name(token));
  return out;
}

TEST(TokenizerTest, EncodesAndDecodesBytesAndMerges) {
  const Tokenizer tokenizer = byte_level();
  using Names = std::vector<std::string>;
  EXPECT_EQ(names(tokenizer, "hello wo", false), (Names{"hello", "\xC4\xA0wo"}));
  EXPECT_EQ(names(tokenizer, "a<|end|>b<tool \xC3\xA9>", false),
            (Names{"a", "<|end|>", "b", "<tool \xC3\xA9>"}));
  EXPECT_EQ(names(tokenizer, "", true), Names{});
  for (const std::string& text : {std::string("hello"), std::string("h\xC3\xA9\n\xF0\x9F\x8D\x80 \0x", 10)}) {
    const auto tokens = tokenizer.encode(text, true);
    ASSERT_TRUE(tokens.ok());
    EXPECT_EQ(tokenizer.decode(tokens.value(), false).value(), text);
  }
}

TEST(TokenizerTest, AddsSpecialTokensOnlyWhenAsked) {
  const Tokenizer tokenizer = byte_fallback();
  using Names = std::vector<std::string>;
  EXPECT_EQ(names(tokenizer, "a", false), (Names{"\xE2\x96\x81", "a"}));
  EXPECT_EQ(names(tokenizer, "a", true), (Names{"<s>", "\xE2\x96\x81", "a"}));
  EXPECT_EQ(names(tokenizer, "\xE2\x82\xAC", false), (Names{"\xE2\x96\x81", "<0xE2>", "<0x82>", "<0xAC>"}));
  const auto tokens = tokenizer.encode("a", true).take_value();
  EXPECT_EQ(tokenizer.decode(tokens, true).value(), "a");
  EXPECT_EQ(tokenizer.decode(tokens, false).value(), "<s> a");
}

TEST(TokenizerTest, KnowsNamesIdsBytesAndRoles) {
  const Tokenizer tokenizer = byte_level();
  EXPECT_EQ(tokenizer.vocab_size(), 256 + 7 + 2);
  for (TokenId token = 0; token < tokenizer.vocab_size(); ++token) {
    EXPECT_EQ(tokenizer.token_id(tokenizer.token_name(token)), token);
  }
  const TokenId space = tokenizer.token_id("\xC4\xA0");
  EXPECT_EQ(tokenizer.token_bytes(space), " ");
  EXPECT_EQ(tokenizer.token_bytes(tokenizer.token_id("\xC3\xBF")), "\xFF");
  EXPECT_EQ(tokenizer.token_bytes(tokenizer.token_id("hello")), "hello");
  const TokenId end = tokenizer.token_id("<|end|>");
  EXPECT_TRUE(tokenizer.is_special(end));
  EXPECT_FALSE(tokenizer.is_special(tokenizer.token_id("<tool \xC3\xA9>")));
  EXPECT_FALSE(tokenizer.is_special(space));
  for (const TokenId token : {TokenId{-1}, tokenizer.vocab_size(), std::numeric_limits<TokenId>::max(),
                              std::numeric_limits<TokenId>::min()}) {
    EXPECT_EQ(tokenizer.token_name(token), "");
    EXPECT_EQ(tokenizer.token_bytes(token), "");
    EXPECT_FALSE(tokenizer.is_special(token));
    EXPECT_EQ(tokenizer.decode(std::vector<TokenId>{token, space, token}, false).value(), " ");
  }
  EXPECT_EQ(tokenizer.token_id("no such token"), kNoToken);
  EXPECT_EQ(tokenizer.token_id("\xFF"), kNoToken);
  EXPECT_GT(tokenizer.memory_bytes(), 10'000U);
}

TEST(TokenizerTest, EveryByteHasItsNameInByteLevel) {
  const Tokenizer tokenizer = byte_level();
  for (unsigned byte = 0; byte < 256; ++byte) {
    EXPECT_EQ(tokenizer.token_bytes(tokenizer.token_id(test::byte_level_name(byte))),
              std::string(1, static_cast<char>(byte)));
  }
}

TEST(TokenizerTest, GivesTheBytesOfFallbackTokens) {
  const Tokenizer tokenizer = byte_fallback();
  EXPECT_EQ(tokenizer.token_bytes(tokenizer.token_id("<0xE2>")), "\xE2");
  EXPECT_EQ(tokenizer.token_bytes(tokenizer.token_id("<0xZZ>")), "<0xZZ>");
  EXPECT_EQ(tokenizer.token_bytes(tokenizer.token_id("\xE2\x96\x81the")), " the");
}

TEST(TokenizerTest, IgnoresTruncationAndPaddingOfTheFile) {
  auto document = test::json::parse(test::byte_level_tokenizer()).as_object();
  document["truncation"] = test::json::object{
      {"direction", "Right"}, {"max_length", 2}, {"strategy", "LongestFirst"}, {"stride", 0}};
  document["padding"] = test::json::object{{"strategy", test::json::object{{"Fixed", 10}}},
                                           {"direction", "Right"},
                                           {"pad_to_multiple_of", nullptr},
                                           {"pad_id", 0},
                                           {"pad_type_id", 0},
                                           {"pad_token", "!"}};
  auto tokenizer = Tokenizer::parse(test::json::serialize(document));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->encode("abcd", true)->size(), 4U);
}

TEST(TokenizerTest, RefusesBadTextWithTheReason) {
  const Tokenizer tokenizer = byte_level();
  const auto invalid = tokenizer.encode("ab\xFF", false);
  ASSERT_FALSE(invalid.ok());
  EXPECT_EQ(invalid.error().kind, ErrorKind::kInvalidArgument);
  EXPECT_THAT(invalid.error().message, HasSubstr("UTF-8 at byte 2"));
  const auto huge = tokenizer.encode(std::string((64U << 20U) + 1, 'a'), false);
  ASSERT_FALSE(huge.ok());
  EXPECT_EQ(huge.error().kind, ErrorKind::kTooLarge);
}

TEST(TokenizerTest, NamesTheFileThatIsMissingOrCorrupt) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / "tokenizer_test_folder";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  auto missing = Tokenizer::open(folder);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().kind, ErrorKind::kNotFound);
  EXPECT_THAT(missing.error().message, HasSubstr("tokenizer.json"));
  std::ofstream(folder / "tokenizer.json") << "{\"version\": \"1.0\"";
  auto corrupt = Tokenizer::open(folder);
  ASSERT_FALSE(corrupt.ok());
  EXPECT_EQ(corrupt.error().kind, ErrorKind::kCorruptData);
  EXPECT_THAT(corrupt.error().message, HasSubstr((folder / "tokenizer.json").string()));
  std::filesystem::remove_all(folder);
}

TEST(TokenizerTest, RefusesIdsThatWouldMakeHugeTables) {
  for (const char* id : {"4294967295", "2000000000", "4294967296", "-1", "1e300"}) {
    std::string text = test::byte_level_tokenizer();
    const std::string last = "\"id\":264";
    text.replace(text.find(last), last.size(), std::string("\"id\":") + id);
    auto tokenizer = Tokenizer::parse(text);
    if (tokenizer.ok()) {
      // The library numbers added tokens that the model lacks by itself.
      EXPECT_LT(tokenizer->vocab_size(), 1000);
    } else {
      EXPECT_NE(tokenizer.error().kind, ErrorKind::kInternal) << tokenizer.error().message;
    }
    text = test::byte_level_tokenizer();
    text.replace(text.find("\"hello\":"), 8, std::string("\"hello\":") + id + ",\"filler\":");
    tokenizer = Tokenizer::parse(text);
    EXPECT_FALSE(tokenizer.ok()) << id;
  }
}

TEST(TokenizerTest, RefusesIdsThatThePostProcessorInvents) {
  std::string text = test::byte_fallback_tokenizer(test::decoders().front().second);
  text.replace(text.find("\"ids\":[1]"), 9, "\"ids\":[4000000000]");
  auto tokenizer = Tokenizer::parse(text);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EXPECT_TRUE(tokenizer->encode("a", false).ok());
  const auto tokens = tokenizer->encode("a", true);
  ASSERT_FALSE(tokens.ok());
  EXPECT_EQ(tokens.error().kind, ErrorKind::kCorruptData);
}

TEST(TokenizerTest, DamagedFilesNeverCrash) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const std::vector<std::string> files = {test::byte_level_tokenizer(),
                                          test::byte_fallback_tokenizer(test::decoders()[0].second),
                                          test::byte_fallback_tokenizer(test::decoders()[5].second)};
  const std::string_view alphabet = "{}[]\":,0123456789.-eEtrufalsn\\u\x01\xFF\xC3 ";
  int survived = 0;
  for (int round = 0; round < 600; ++round) {
    std::string text = files[static_cast<std::size_t>(round) % files.size()];
    // Damage at either end, where the interesting parts are, as well as inside the vocabulary.
    for (unsigned i = 0; i < 1 + random() % 4; ++i) {
      const std::size_t place = random() % 2 != 0
                                    ? random() % text.size()
                                    : text.size() - 1 - random() % std::min<std::size_t>(1500, text.size());
      switch (random() % 3) {
        case 0:
          text[place] = alphabet[random() % alphabet.size()];
          break;
        case 1:
          text.erase(place, 1 + random() % 20);
          break;
        default:
          text.insert(place, 1, alphabet[random() % alphabet.size()]);
          break;
      }
    }
    auto tokenizer = Tokenizer::parse(text);
    if (!tokenizer) continue;
    ++survived;
    auto tokens = tokenizer->encode("hello w\xC3\xB6rld <|end|> \xF0\x9F\x8D\x80", true);
    if (tokens) (void)tokenizer->decode(tokens.value(), (round & 1) != 0);
  }
  RecordProperty("still_valid", survived);
  for (const std::string& text :
       {std::string(), std::string(100'000, '['), std::string(100, '\0'), std::string("{}"),
        std::string("null"), std::string("{\"model\":{\"type\":\"BPE\"}}")}) {
    EXPECT_FALSE(Tokenizer::parse(text).ok());
  }
}

TEST(TokenizerTest, ServesSeveralThreadsAtOnce) {
  const Tokenizer tokenizer = byte_level();
  const auto expected = tokenizer.encode("hello world, hello", false).take_value();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        EXPECT_EQ(tokenizer.encode("hello world, hello", false).value(), expected);
        EXPECT_EQ(tokenizer.decode(expected, false).value(), "hello world, hello");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(TokenizerTest, TakesLongRunsOfOneCharacter) {
  const auto folder = test::model_folder();
  const Tokenizer tokenizer = folder ? Tokenizer::open(*folder).take_value() : byte_level();
  for (const char character : {'a', ' ', '\n', '1', '-'}) {
    const std::string text(50'000, character);
    auto tokens = tokenizer.encode(text, false);
    ASSERT_TRUE(tokens.ok()) << tokens.error().message;
    EXPECT_EQ(tokenizer.decode(tokens.value(), false).value(), text);
  }
}

TEST(TokenizerTest, ReadsTheDemoModelsTokenizer) {
  const auto folder = test::model_folder();
  if (!folder) GTEST_SKIP() << "MLXD_TEST_MODEL names no model folder";
  auto tokenizer = Tokenizer::open(*folder);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EXPECT_GT(tokenizer->vocab_size(), 1000);
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::string text;
    for (unsigned i = 0; i < random() % 40; ++i) {
      const std::vector<std::string> words = {
          "the ",  "Paris", "\n\n", "  ",  "\xC3\xA9",    "\xE4\xB8\xAD\xE6\x96\x87", "\xF0\x9F\x8D\x80",
          "12345", "don't", "\t",   "://", "caf\xC3\xA9s"};
      text += words[random() % words.size()];
    }
    const auto tokens = tokenizer->encode(text, false);
    ASSERT_TRUE(tokens.ok()) << tokens.error().message;
    EXPECT_EQ(tokenizer->decode(tokens.value(), false).value(), text);
    std::string bytes;
    for (const TokenId token : tokens.value()) bytes += tokenizer->token_bytes(token);
    EXPECT_EQ(bytes, text);
  }
  EXPECT_GT(tokenizer->memory_bytes(), 1'000'000U);
}

}  // namespace
}  // namespace mlxd
