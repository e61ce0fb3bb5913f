#include "cli/console.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace mlxd::cli {
namespace {

TEST(Console, RemovesControlCharactersButKeepsTextWhole) {
  const auto check = [](std::string_view text, std::string_view expected) {
    EXPECT_EQ(without_control_characters(text), expected);
  };
  check("plain\n\ttext", "plain\n\ttext");
  check("\033[2Jgone", "[2Jgone");
  check("a\rb\x07\x7F", "ab");
  check(
      "\xC2\x9B"
      "31m",
      "31m");
  check("caf\xC3\xA9 \xC2\xA3 \xF0\x9F\x98\x80", "caf\xC3\xA9 \xC2\xA3 \xF0\x9F\x98\x80");
}

TEST(Console, WritesNoColoursWhereThereIsNoTerminal) {
  std::FILE* out = std::tmpfile();
  Console console(out, out);
  EXPECT_EQ(console.styled(Style::kRed, "x"), "x");
  EXPECT_TRUE(console.write_line("hello"));
  std::rewind(out);
  char buffer[16] = {};
  EXPECT_EQ(std::fread(buffer, 1, sizeof buffer, out), 6U);
  EXPECT_STREQ(buffer, "hello\n");
  std::fclose(out);
}

#ifdef __linux__
TEST(Console, RemembersThatAWriteFailed) {
  std::FILE* full = std::fopen("/dev/full", "w");
  ASSERT_NE(full, nullptr);
  Console console(full, stderr);
  EXPECT_FALSE(console.write("x"));
  EXPECT_FALSE(console.out_ok());
  EXPECT_EQ(console.write_errno(), ENOSPC);
  std::fclose(full);
}
#endif

}  // namespace
}  // namespace mlxd::cli
