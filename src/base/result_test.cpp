#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace mlxd {
namespace {

Result<int> parse_positive(int n) {
  if (n <= 0) return invalid_argument("n is " + std::to_string(n) + ", must be positive", "n");
  return n;
}

Result<std::string> doubled(int n) {
  const int value = TRY(parse_positive(n));
  const int again = TRY(parse_positive(TRY(parse_positive(value))));
  return std::to_string(value + again);
}

Result<void> checked(int n) {
  TRY(parse_positive(n));
  return {};
}

TEST(Result, try_passes_the_value_on) {
  ASSERT_TRUE(doubled(2).ok());
  EXPECT_EQ(*doubled(2), "4");
  EXPECT_TRUE(checked(1).ok());
}

TEST(Result, try_returns_the_error_with_kind_message_and_field) {
  const auto result = doubled(-1);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().kind, ErrorKind::kInvalidArgument);
  EXPECT_EQ(result.error().message, "n is -1, must be positive");
  EXPECT_EQ(result.error().field, "n");
  EXPECT_FALSE(checked(0).ok());
}

TEST(Result, holds_move_only_values) {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(7));
  std::unique_ptr<int> taken = result.take_value();
  EXPECT_EQ(*taken, 7);
}

TEST(Error, io_errors_name_the_thing_and_the_reason) {
  const Error error = io_error("cannot open /nowhere", ENOENT);
  EXPECT_EQ(error.kind, ErrorKind::kNotFound);
  EXPECT_EQ(error.message, "cannot open /nowhere: No such file or directory");
}

}  // namespace
}  // namespace mlxd
