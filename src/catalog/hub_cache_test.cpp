#include "catalog/hub_cache.h"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>

#include "base/mutex.h"
#include "catalog/local_models.h"
#include "catalog/model_catalog.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRepository = "org/name";
const std::string kOld(40, 'a');
const std::string kNew(40, 'b');

class HubCacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "mlxd-cache-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    cache_ = name;
    add(kOld, "config.json", std::string(40, '1'), R"({"model_type":"llama"})");
    add(kOld, "model.safetensors", std::string(64, '2'), std::string(1000, 'x'));
    add(kNew, "config.json", std::string(40, '1'), R"({"model_type":"llama"})");
    add(kNew, "model.safetensors", std::string(64, '3'), std::string(3000, 'y'));
    ASSERT_TRUE(write_ref(paths(), "main", kNew).ok());
  }
  void TearDown() override { fs::remove_all(cache_); }

  RepositoryPaths paths() const { return {cache_, kRepository}; }
  void add(const std::string& commit, const std::string& file, const std::string& etag,
           const std::string& bytes) {
    fs::create_directories(paths().blobs);
    std::ofstream(paths().blob(etag)) << bytes;
    ASSERT_TRUE(link_blob(paths(), commit, file, etag).ok());
  }

  fs::path cache_;
};

TEST_F(HubCacheTest, CountsABlobOnceThatTwoRevisionsShare) {
  const auto repositories = scan_hub_cache(cache_);
  ASSERT_EQ(repositories.size(), 1U);
  EXPECT_EQ(repositories[0].id, kRepository);
  EXPECT_EQ(repositories[0].revisions.size(), 2U);
  EXPECT_EQ(repositories[0].size_bytes, 4000U + 22U);
  EXPECT_TRUE(repositories[0].problems.empty());
}

TEST_F(HubCacheTest, TellsWhatIsBrokenAndReadsTheRest) {
  fs::remove(paths().blob(std::string(64, '3')));
  std::ofstream(paths().refs / "v1") << std::string(40, 'c');
  std::ofstream(paths().incomplete(std::string(64, '4'))) << "half";
  fs::create_directories(cache_ / "models--org--empty");
  const auto repositories = scan_hub_cache(cache_);
  ASSERT_EQ(repositories.size(), 2U);
  EXPECT_EQ(repositories[0].problems.front(), "it has no snapshot");
  EXPECT_EQ(repositories[1].problems.size(), 2U);
  EXPECT_EQ(repositories[1].incomplete_bytes, 4U);
  EXPECT_EQ(repositories[1].revisions.size(), 2U);
}

TEST_F(HubCacheTest, RemovesOfARevisionWhatNoOtherUses) {
  const Removed removed = remove_revision(cache_, kRepository, kNew).take_value();
  EXPECT_EQ(removed.freed_bytes, 3000U);
  EXPECT_EQ(removed.refs, std::vector<std::string>{"main"});
  EXPECT_FALSE(fs::exists(paths().refs / "main"));
  EXPECT_TRUE(fs::exists(paths().snapshots / kOld / "config.json"));
  EXPECT_EQ(remove_revision(cache_, kRepository, kNew).error().kind, ErrorKind::kNotFound);
  // The last one takes the repository with it.
  EXPECT_EQ(remove_revision(cache_, kRepository, kOld)->freed_bytes, 1022U);
  EXPECT_FALSE(fs::exists(paths().root));
}

TEST_F(HubCacheTest, LeavesABlobOutsideTheRepositoryAlone) {
  const fs::path outside = cache_ / "outside";
  std::ofstream(outside) << "precious";
  fs::create_symlink(outside, paths().snapshots / kNew / "link");
  ASSERT_TRUE(remove_revision(cache_, kRepository, kNew).ok());
  EXPECT_TRUE(fs::exists(outside));
}

TEST_F(HubCacheTest, OffersTheSnapshotOfMainAndElseTheNewest) {
  EXPECT_EQ(models_in_hub_cache(cache_)[kRepository], paths().snapshots / kNew);
  ASSERT_TRUE(write_ref(paths(), "main", kOld).ok());
  EXPECT_EQ(models_in_hub_cache(cache_)[kRepository], paths().snapshots / kOld);
}

TEST_F(HubCacheTest, OffersNoSnapshotWhoseNumberedWeightsAreNotAllThere) {
  fs::remove(paths().snapshots / kNew / "model.safetensors");
  add(kNew, "model-00001-of-00002.safetensors", std::string(64, '3'), "one");
  EXPECT_EQ(models_in_hub_cache(cache_)[kRepository], paths().snapshots / kOld);
  add(kNew, "model-00002-of-00002.safetensors", std::string(64, '4'), "two");
  EXPECT_EQ(models_in_hub_cache(cache_)[kRepository], paths().snapshots / kNew);
}

TEST_F(HubCacheTest, OneHolderOfALockAtATime) {
  const fs::path file = paths().lock("etag");
  BlobLock first;
  BlobLock second;
  EXPECT_TRUE(BlobLock::try_acquire(file, first).take_value());
  EXPECT_FALSE(BlobLock::try_acquire(file, second).take_value());
  first = BlobLock();
  EXPECT_TRUE(BlobLock::try_acquire(file, second).take_value());
}

TEST_F(HubCacheTest, TheCatalogListsFoldersAndRepositoriesWithTheirFacts) {
  const fs::path models = cache_ / "models";
  fs::create_directories(models / "own");
  std::ofstream(models / "own" / "config.json") << R"({"model_type":"qwen3","max_position_embeddings":4096})";
  std::ofstream(models / "own" / "model.safetensors") << "";
  std::ofstream(paths().snapshots / kNew / "model.safetensors.index.json")
      << R"({"weight_map":{"a":"model-1.safetensors","b":"model.safetensors"}})";
  ModelCatalog catalog({.model_folders = {models}, .hub_cache = cache_});
  auto found = catalog.models();
  ASSERT_EQ(found->size(), 2U);
  EXPECT_EQ((*found)[0].name, kRepository);
  EXPECT_EQ((*found)[0].problem, "1 of its 2 weight files are missing: download it again");
  EXPECT_EQ((*found)[1].name, "own");
  EXPECT_EQ((*found)[1].facts.context_tokens, 4096);
  fs::remove_all(models / "own");
  found = catalog.scan_now();
  EXPECT_EQ(found->size(), 1U);
}

TEST_F(HubCacheTest, TheCatalogLooksAgainForWhoAsksLaterThanAMoment) {
  Mutex mutex;
  CondVar told;
  int changes = 0;
  ModelCatalog catalog(
      {.model_folders = {}, .hub_cache = cache_, .interval = std::chrono::hours(1), .on_change = [&] {
         const MutexLock lock(mutex);
         ++changes;
         told.notify_all();
       }});
  ASSERT_EQ(catalog.models()->size(), 1U);
  fs::remove_all(paths().root);
  catalog.request_scan_after(std::chrono::hours(1));
  EXPECT_EQ(catalog.models()->size(), 1U);
  catalog.request_scan_after(std::chrono::milliseconds(20));
  {
    const MutexLock lock(mutex);
    while (changes < 2) told.wait(mutex);
  }
  EXPECT_TRUE(catalog.models()->empty());
}

}  // namespace
}  // namespace mlxd
