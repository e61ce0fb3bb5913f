#include "script.h"

#include <gtest/gtest.h>

#include "model/testing/synthetic_model.h"

namespace mlxd::testing {
namespace {

std::string chosen(const Script& script, std::string_view prompt) {
  const Script::Answer* const answer = script.answer_to(prompt);
  return answer == nullptr ? "none" : answer->say;
}

TEST(Script, what_the_prompt_says_last_chooses_the_answer) {
  const Script script({{.when = "read", .say = "one"},
                       {.when = "content", .say = "two"},
                       {.when = "title", .unless = "tools", .say = "three"}});
  EXPECT_EQ(chosen(script, "please read"), "one");
  EXPECT_EQ(chosen(script, "please read; content"), "two");
  EXPECT_EQ(chosen(script, "please read; content; read"), "one");
  EXPECT_EQ(chosen(script, "read; a title"), "three");
  EXPECT_EQ(chosen(script, "tools; read; a title"), "one");
  EXPECT_EQ(chosen(script, "nothing of it"), "none");
  EXPECT_EQ(chosen(Script({{.say = "any"}, {.when = "a", .say = "one"}}), "b"), "any");
}

TEST(ScriptSpeaker, says_an_answer_token_by_token_whatever_tokens_its_text_was_given_as) {
  const TemporaryFolder folder;
  ASSERT_TRUE(write_synthetic_model(folder.path(), {}).ok());
  const Tokenizer tokenizer = Tokenizer::open(folder.path()).take_value();
  ScriptSpeaker speaker(Script(std::vector<Script::Answer>{{.when = "q", .say = "ab"}}), tokenizer, 99);
  std::vector<TokenId> prefix = tokenizer.encode("a q", false).take_value();
  const std::vector<TokenId> answer = tokenizer.encode("ab", false).take_value();
  for (const TokenId token : answer) {
    ASSERT_EQ(speaker.next(prefix), token);
    prefix.push_back(token);
  }
  EXPECT_EQ(speaker.next(prefix), 99);
  // The next turn's prompt goes on from the first.
  prefix.push_back(99);
  EXPECT_EQ(speaker.next(prefix), answer.front());
}

}  // namespace
}  // namespace mlxd::testing
