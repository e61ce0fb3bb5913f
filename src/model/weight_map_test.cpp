#include "model/weight_map.h"

#include <gtest/gtest.h>

#include <fstream>

#include "model/safetensors_writer.h"
#include "model/testing/synthetic_model.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryFolder;

void write_tensors(const fs::path& file, const std::vector<std::string>& names) {
  std::vector<TensorLayout> layouts;
  for (const std::string& name : names) layouts.push_back({name, DType::kU8, {1}});
  auto writer = SafetensorsWriter::create(file, layouts);
  ASSERT_TRUE(writer.ok());
  const std::byte value{7};
  for (const std::string& name : names) ASSERT_TRUE(writer->write(name, {&value, 1}).ok());
  ASSERT_TRUE(writer->finish().ok());
}

void expect_error(const fs::path& folder, const std::string& expected) {
  const auto map = WeightMap::open(folder);
  ASSERT_FALSE(map.ok()) << expected;
  EXPECT_NE(map.error().message.find(expected), std::string::npos) << map.error().message;
}

TEST(WeightMap, joins_shards_and_reads_through_links_into_a_cache) {
  TemporaryFolder root;
  const fs::path blobs = root.path() / "blobs";
  const fs::path snapshot = root.path() / "snapshots" / "abc";
  fs::create_directories(blobs);
  fs::create_directories(snapshot);
  write_tensors(blobs / "1111", {"a", "b"});
  write_tensors(blobs / "2222", {"c"});
  fs::create_symlink("../../blobs/1111", snapshot / "model-00001-of-00002.safetensors");
  fs::create_symlink("../../blobs/2222", snapshot / "model-00002-of-00002.safetensors");
  write_tensors(snapshot / "adapters.safetensors", {"a"});  // no weight file of the model
  const auto map = WeightMap::open(snapshot);
  ASSERT_TRUE(map.ok()) << map.error().message;
  EXPECT_EQ(map->tensors().size(), 3U);
  EXPECT_EQ(map->total_bytes(), 3U);
  ASSERT_NE(map->find("c"), nullptr);
  map->will_need(*map->find("c"));
  map->drop_pages(*map->find("c"));
  EXPECT_EQ(map->find("c")->data[0], std::byte{7});
  EXPECT_EQ(map->find("d"), nullptr);
  const auto missing = map->get("d");
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.error().message.find("tensor d is missing"), std::string::npos);
}

TEST(WeightMap, refuses_folders_without_weights) {
  TemporaryFolder folder;
  expect_error(folder.path(), "holds no model*.safetensors");
  expect_error(folder.path() / "nowhere", "is not a folder");
}

TEST(WeightMap, refuses_a_tensor_that_two_files_have) {
  TemporaryFolder folder;
  write_tensors(folder.path() / "model-1.safetensors", {"a"});
  write_tensors(folder.path() / "model-2.safetensors", {"b", "a"});
  expect_error(folder.path(), "tensor a: another file of the folder has it too");
}

TEST(WeightMap, names_a_missing_shard_and_refuses_an_index_that_leaves_the_folder) {
  TemporaryFolder folder;
  write_tensors(folder.path() / "model-00001-of-00002.safetensors", {"a"});
  const auto write_index = [&](const char* text) {
    std::ofstream(folder.path() / "model.safetensors.index.json") << text;
  };
  write_index(
      R"({"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}})");
  expect_error(folder.path(), "model-00002-of-00002.safetensors is missing (it holds tensor b)");
  write_index(R"({"weight_map":{"a":"../model.safetensors"}})");
  expect_error(folder.path(), "is not a file of this folder");
  write_index(R"({"weight_map":{"a":"/etc/passwd"}})");
  expect_error(folder.path(), "is not a file of this folder");
  write_index(R"({"weight_map":{"a":7}})");
  expect_error(folder.path(), "must name a file");
  write_index(R"({})");
  expect_error(folder.path(), "weight_map is missing");
  write_index(R"({"weight_map":{"a":"model-00001-of-00002.safetensors"}})");
  EXPECT_TRUE(WeightMap::open(folder.path()).ok());
}

TEST(WeightMap, a_link_to_nothing_is_named) {
  TemporaryFolder folder;
  fs::create_symlink("../../blobs/gone", folder.path() / "model.safetensors");
  expect_error(folder.path(), "model.safetensors: No such file");
}

}  // namespace
}  // namespace mlxd
