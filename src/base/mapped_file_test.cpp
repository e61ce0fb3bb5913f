#include "base/mapped_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <string>

namespace mlxd {
namespace {

class MappedFileTest : public ::testing::Test {
 protected:
  std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) / ("mapped_file_test_" + std::to_string(::getpid()));
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path write(const std::string& text) {
    const auto path = folder_ / "file";
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
};

TEST_F(MappedFileTest, shows_the_bytes_of_the_file_even_after_dropping_and_moving) {
  const std::string text(100'000, 'x');
  MappedFile file = MappedFile::open(write(text)).take_value();
  file.will_need(file.bytes());
  file.drop_pages(file.bytes());
  const MappedFile moved = std::move(file);
  ASSERT_EQ(moved.bytes().size(), text.size());
  EXPECT_EQ(std::memcmp(moved.bytes().data(), text.data(), text.size()), 0);
}

TEST_F(MappedFileTest, an_empty_file_is_an_empty_span) {
  EXPECT_TRUE(MappedFile::open(write(""))->bytes().empty());
}

TEST_F(MappedFileTest, names_what_cannot_be_opened) {
  const auto missing = MappedFile::open(folder_ / "missing");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().kind, ErrorKind::kNotFound);
  EXPECT_NE(missing.error().message.find("missing"), std::string::npos);
  EXPECT_FALSE(MappedFile::open(folder_).ok());
}

}  // namespace
}  // namespace mlxd
