#include "cli/line_editor.h"

#include <gtest/gtest.h>

namespace mlxd::cli {
namespace {

TEST(LineEditor, KeepsAnyTextAsOneLineOfHistory) {
  const auto check = [](const std::string& text, const std::string& line) {
    EXPECT_EQ(encode_history_entry(text), line);
    EXPECT_EQ(decode_history_entry(line), text);
  };
  check("plain", "plain");
  check("two\nlines", "two\\nlines");
  check("C:\\new", "C:\\\\new");
  check("\\\n\\n", "\\\\\\n\\\\n");
  EXPECT_EQ(decode_history_entry("ends with \\"), "ends with \\");
}

}  // namespace
}  // namespace mlxd::cli
