#include "catalog/model_digest.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace mlxd {
namespace {

namespace fs = std::filesystem;

class ModelDigest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "mlxd-digest-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override { fs::remove_all(root_); }

  fs::path write(const fs::path& name, const std::string& text) const {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
    return root_ / name;
  }

  fs::path root_;
};

TEST_F(ModelDigest, stays_until_a_file_changes) {
  write("m/config.json", "{}");
  const fs::path weights = write("m/model.safetensors", "ww");
  const std::string first = *model_digest(root_ / "m");
  EXPECT_EQ(first.size(), 64U);
  EXPECT_EQ(*model_digest(root_ / "m"), first);
  fs::last_write_time(weights, fs::last_write_time(weights) + std::chrono::seconds(5));
  const std::string touched = *model_digest(root_ / "m");
  EXPECT_NE(touched, first);
  write("m/README.md", "x");
  EXPECT_NE(*model_digest(root_ / "m"), touched);
  EXPECT_FALSE(model_digest(root_ / "none").ok());
}

TEST_F(ModelDigest, of_a_snapshot_is_that_of_its_blobs) {
  const std::string hash(64, 'a');
  const std::string other(64, 'b');
  for (const std::string& blob : {hash, other}) write("blobs/" + blob, "w");
  for (const char* snapshot : {"1", "2", "3"}) fs::create_directories(root_ / "snapshots" / snapshot);
  const auto link = [&](const char* snapshot, const std::string& blob) {
    fs::create_symlink(fs::path("../../blobs") / blob, root_ / "snapshots" / snapshot / "model.safetensors");
  };
  link("1", hash);
  link("2", hash);
  link("3", other);
  fs::last_write_time(root_ / "blobs" / other, fs::last_write_time(root_ / "blobs" / hash));
  const std::string digest = *model_digest(root_ / "snapshots" / "1");
  EXPECT_EQ(*model_digest(root_ / "snapshots" / "2"), digest);
  EXPECT_NE(*model_digest(root_ / "snapshots" / "3"), digest);
}

}  // namespace
}  // namespace mlxd
