#include "api/tokens/token_requests.h"

#include <gtest/gtest.h>

#include <string>

namespace mlxd::api::tokens {
namespace {

void check_refused(const Result<GenerationCall>& call, std::string_view field) {
  ASSERT_FALSE(call.ok()) << field;
  EXPECT_EQ(call.error().field, field) << call.error().message;
}

TEST(TokenizeRequest, takes_a_text_or_a_chat) {
  const auto text =
      decode_tokenize_request(R"({"model":"m","text":"Hi","add_special_tokens":false,"pieces":true})", false);
  ASSERT_TRUE(text.ok()) << text.error().message;
  EXPECT_EQ(std::get<std::string>(text->prompts.at(0)), "Hi");
  EXPECT_FALSE(text->token_view.special_tokens);
  EXPECT_TRUE(text->token_view.pieces);
  const auto chat = decode_tokenize_request(
      R"({"model":"m","messages":[{"role":"user","content":"Hi"}],"temperature":0,"pieces":true,
          "tools":[{"type":"function","function":{"name":"f"}}]})",
      false);
  ASSERT_TRUE(chat.ok()) << chat.error().message;
  EXPECT_EQ(chat->conversation->messages.size(), 1U);
  EXPECT_EQ(chat->conversation->tools.size(), 1U);
  EXPECT_TRUE(chat->token_view.pieces);
}

TEST(TokenizeRequest, refuses_by_name) {
  check_refused(decode_tokenize_request(R"({"text":"Hi"})", false), "model");
  check_refused(decode_tokenize_request(R"({"model":"m"})", false), "text");
  check_refused(decode_tokenize_request(R"({"model":"m","text":["Hi"]})", false), "text");
  check_refused(decode_tokenize_request(R"({"model":"m","text":"Hi","messages":[]})", false), "text");
  check_refused(decode_tokenize_request(R"({"model":"m","messages":[]})", false), "messages");
  check_refused(decode_tokenize_request(R"({"model":"m","text":"Hi","piece":true})", false), "piece");
  check_refused(decode_tokenize_request(R"({"model":"m","text":"Hi","pieces":1})", false), "pieces");
}

TEST(DetokenizeRequest, takes_tokens) {
  const auto call =
      decode_detokenize_request(R"({"model":"m","tokens":[1,2,300],"skip_special_tokens":true})");
  ASSERT_TRUE(call.ok()) << call.error().message;
  EXPECT_EQ(std::get<std::vector<TokenId>>(call->prompts.at(0)), (std::vector<TokenId>{1, 2, 300}));
  EXPECT_FALSE(call->token_view.special_tokens);
  EXPECT_TRUE(decode_detokenize_request(R"({"model":"m","tokens":[]})").ok());
  check_refused(decode_detokenize_request(R"({"model":"m"})"), "tokens");
  check_refused(decode_detokenize_request(R"({"model":"m","tokens":"x"})"), "tokens");
  check_refused(decode_detokenize_request(R"({"model":"m","tokens":[-1]})"), "tokens");
  check_refused(decode_detokenize_request(R"({"model":"m","tokens":[1.5]})"), "tokens");
}

TEST(TokenAnswers, list_tokens_and_text) {
  const TokenId tokens[] = {1, 20};
  const std::vector<std::string> pieces{"a\"", "\\xf0"};
  EXPECT_EQ(encode_tokens(tokens, 8192, nullptr), R"({"tokens":[1,20],"count":2,"context_length":8192})");
  EXPECT_EQ(encode_tokens(tokens, 8192, &pieces),
            R"({"tokens":[1,20],"count":2,"context_length":8192,"pieces":["a\"","\\xf0"]})");
  EXPECT_EQ(encode_text("é\n"), "{\"text\":\"é\\n\"}");
}

}  // namespace
}  // namespace mlxd::api::tokens
