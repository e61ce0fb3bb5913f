#include "workbench/staging_folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <vector>

#include "model/testing/synthetic_model.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;

class StagingFolderTest : public ::testing::Test {
 protected:
  fs::path models() const { return folder_.path() / "models"; }
  void put(const std::string& file) const {
    fs::create_directories((models() / file).parent_path());
    std::ofstream(models() / file) << file;
  }
  std::string files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(models()))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    std::string all;
    for (const std::string& name : names) all += (all.empty() ? "" : " ") + name;
    return all;
  }

  testing::TemporaryFolder folder_;
};

TEST_F(StagingFolderTest, RemainsOfKilledJobsGoAndThoseOfRunningOnesStay) {
  put("good/config.json");
  put(".converting-dead-1/model.safetensors");
  put(".converting-dead-1.lock");
  put(".importing-early.lock");
  put(".hidden/file");
  put(".other.lock");
  const auto running = StagingFolder::create(models() / "running", "importing");
  ASSERT_TRUE(running.ok()) << running.error().message;
  StagingFolder::remove_remains(models());
  EXPECT_EQ(files(), ".hidden .importing-running .importing-running.lock .other.lock good");
  // There may be none, nor a folder.
  StagingFolder::remove_remains(models() / "none");
}

TEST_F(StagingFolderTest, WhatWasMovedAsideGetsItsNameBackUnlessTheNewOneHasIt) {
  put(".converting-lost.lock");
  put(".converting-lost.old/old.json");
  put(".converting-lost/new.json");
  put(".importing-replaced.lock");
  put(".importing-replaced.old/old.json");
  put("replaced/new.json");
  StagingFolder::remove_remains(models());
  EXPECT_EQ(files(), "lost replaced");
  EXPECT_TRUE(fs::exists(models() / "lost" / "old.json"));
  EXPECT_TRUE(fs::exists(models() / "replaced" / "new.json"));
}

TEST_F(StagingFolderTest, SpaceIsThatOfTheNearestFolderThatExists) {
  EXPECT_TRUE(check_free_space(folder_.path() / "not" / "yet", 1).ok());
  const auto refused =
      check_free_space(folder_.path() / "not" / "yet", std::numeric_limits<std::uint64_t>::max() / 2);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kIo);
  EXPECT_NE(refused.error().message.find("MB are free"), std::string::npos) << refused.error().message;
}

}  // namespace
}  // namespace mlxd
