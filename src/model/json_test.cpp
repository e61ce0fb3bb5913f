#include "model/json.h"

#include <gtest/gtest.h>

#include <fstream>

#include "model/testing/synthetic_model.h"

namespace mlxd {
namespace {

TEST(Json, refuses_what_is_not_strict_json) {
  for (const char* text :
       {"", "{", "{\"a\": 1,}", "[1 2]", "{\"a\": NaN}", "// x\n{}", "{} {}", "\"\xFF\""}) {
    const auto value = parse_json(text, "file.json");
    ASSERT_FALSE(value.ok()) << text;
    EXPECT_EQ(value.error().kind, ErrorKind::kCorruptData);
    EXPECT_EQ(value.error().message.find("file.json: "), 0U) << value.error().message;
  }
}

TEST(Json, refuses_deep_nesting_without_deep_recursion) {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  EXPECT_FALSE(parse_json(deep, "deep").ok());
  EXPECT_TRUE(parse_json(std::string(60, '[') + std::string(60, ']'), "shallow").ok());
}

TEST(Json, finds_a_key_given_twice_in_one_object) {
  EXPECT_EQ(find_duplicate_key(R"({"a": 1, "b": {"a": 2}, "c": [{"a": 1}]})"), std::nullopt);
  EXPECT_EQ(find_duplicate_key(R"({"a": 1, "b": {"c": 2, "\u0063": 3}})"), "c");
  EXPECT_EQ(find_duplicate_key(R"({"a": 1, "a": 2})"), "a");
}

TEST(Json, reads_an_object_file_and_nothing_else) {
  testing::TemporaryFolder folder;
  const auto check = [&](const char* content, bool expected) {
    const auto file = folder.path() / "x.json";
    std::ofstream(file) << content;
    EXPECT_EQ(read_json_object(file, 64).ok(), expected) << content;
  };
  check("{\"a\": 1}", true);
  check("[1]", false);
  check("", false);
  check("{\"long\": \"0123456789012345678901234567890123456789012345678901234567890123456789\"}", false);
  const auto missing = read_json_object(folder.path() / "none.json", 64);
  EXPECT_EQ(missing.error().kind, ErrorKind::kNotFound);
}

TEST(Json, prints_readable_text_that_parses_to_the_same_value) {
  const auto value =
      parse_json(R"({"b": {"x": [1, 2], "y": {}}, "a": [{"k": null}, []], "t": "é\n"})", "x").take_value();
  const std::string text = to_pretty_json(value);
  EXPECT_EQ(parse_json(text, "y").take_value(), value);
  EXPECT_NE(text.find("  \"b\": {\n    \"x\": [1,2],"), std::string::npos) << text;
}

}  // namespace
}  // namespace mlxd
