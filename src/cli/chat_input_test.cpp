#include "cli/chat_input.h"

#include <gtest/gtest.h>

#include <vector>

namespace mlxd::cli {
namespace {

TEST(ChatInput, TellsMessagesFromCommands) {
  const auto check = [](const char* line, ChatInputKind kind, const char* name, const char* text) {
    const ChatInput input = parse_chat_input(line);
    EXPECT_EQ(input.kind, kind) << line;
    EXPECT_EQ(input.name, name) << line;
    EXPECT_EQ(input.text, text) << line;
  };
  check("", ChatInputKind::kNothing, "", "");
  check("  \t\n", ChatInputKind::kNothing, "", "");
  check(" hello there ", ChatInputKind::kMessage, "", "hello there");
  check("what is 1/2?", ChatInputKind::kMessage, "", "what is 1/2?");
  check("/help", ChatInputKind::kHelp, "", "");
  check("/?", ChatInputKind::kHelp, "", "");
  check("/BYE", ChatInputKind::kBye, "", "");
  check("/exit", ChatInputKind::kBye, "", "");
  check("/clear", ChatInputKind::kClear, "", "");
  check("/show", ChatInputKind::kShow, "", "");
  check("/set", ChatInputKind::kSet, "", "");
  check("/set verbose", ChatInputKind::kSet, "verbose", "");
  check("/set temperature 0.5", ChatInputKind::kSet, "temperature", "0.5");
  check("/set system \"Be brief.\"", ChatInputKind::kSet, "system", "Be brief.");
  check("/set system Say \"hi\" first", ChatInputKind::kSet, "system", "Say \"hi\" first");
  check("/set system a\nb", ChatInputKind::kSet, "system", "a\nb");
  check("/setup now", ChatInputKind::kUnknown, "/setup", "");
  check("/", ChatInputKind::kUnknown, "/", "");
}

TEST(ChatInput, JoinsLinesOfABlock) {
  const auto check = [](const std::vector<const char*>& lines, const char* expected) {
    LineCollector collector;
    for (std::size_t i = 0; i < lines.size(); ++i)
      EXPECT_EQ(collector.add(lines[i]), i + 1 == lines.size()) << lines[i];
    EXPECT_FALSE(collector.is_open());
    EXPECT_EQ(collector.take(), expected);
  };
  check({"one line"}, "one line");
  check({"\"\"\"one line\"\"\""}, "one line");
  check({"\"\"\"first", "second", "third\"\"\""}, "first\nsecond\nthird");
  check({"\"\"\"", "  indented", "", "\"\"\" "}, "\n  indented\n\n");
  check({"/set system \"\"\"Be brief.", "Be kind.\"\"\""}, "/set system Be brief.\nBe kind.");
  check({"say \"\"\" in the middle"}, "say \"\"\" in the middle");
}

TEST(ChatInput, ForgetsAnAbandonedBlock) {
  LineCollector collector;
  EXPECT_FALSE(collector.add("\"\"\"never ended"));
  EXPECT_TRUE(collector.is_open());
  collector.clear();
  EXPECT_FALSE(collector.is_open());
  EXPECT_TRUE(collector.add("fresh"));
  EXPECT_EQ(collector.take(), "fresh");
}

}  // namespace
}  // namespace mlxd::cli
