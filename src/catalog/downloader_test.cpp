#include "catalog/downloader.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "catalog/memory_journal.h"
#include "catalog/testing/tiny_hub.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
using testing::TinyHub;

constexpr std::size_t kWeightBytes = 300'000;

std::string weights() {
  std::string bytes;
  for (std::size_t i = 0; i < kWeightBytes; ++i) bytes += static_cast<char>((i * i + i / 7) % 251);
  return bytes;
}

std::map<std::string, std::string> model_files() {
  return {{"config.json", R"({"model_type":"llama"})"},
          {"model.safetensors", weights()},
          {"junk.bin", "not wanted"}};
}

std::string contents(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

// One that outlives its downloader, as a file does.
class LastingJournal : public DownloadJournal {
 public:
  explicit LastingJournal(MemoryJournal& kept) : kept_(kept) {}
  Result<std::vector<DownloadRecord>> load() override { return kept_.load(); }
  Result<void> save(const DownloadRecord& record) override { return kept_.save(record); }
  Result<void> remove(const std::string& id) override { return kept_.remove(id); }

 private:
  MemoryJournal& kept_;
};

class DownloaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "mlxd-downloads-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
    cache_ = root_ / "hub";
    options_.retry_base = std::chrono::milliseconds(1);
    options_.on_change = [this](const DownloadStatus&) {
      const MutexLock lock(mutex_);
      changed_.notify_all();
    };
  }
  void TearDown() override { fs::remove_all(root_); }

  std::unique_ptr<Downloader> start() {
    HubPlaces places;
    places.cache = cache_;
    places.endpoint = hub_.endpoint();
    HubClient hub(places, {.policy = [this] { return policy_; }});
    return Downloader::start(std::move(hub), std::make_unique<LastingJournal>(journal_), options_)
        .take_value();
  }

  template <typename Predicate>
  DownloadStatus wait(Downloader& downloader, const std::string& id, Predicate predicate) {
    for (;;) {
      const DownloadStatus status = downloader.status(id).take_value();
      if (predicate(status)) return status;
      const MutexLock lock(mutex_);
      changed_.wait_until(mutex_, std::chrono::steady_clock::now() + std::chrono::milliseconds(20));
    }
  }
  DownloadStatus wait_for(Downloader& downloader, const std::string& id, DownloadState state) {
    return wait(downloader, id, [state](const DownloadStatus& status) {
      return status.record.state == state || status.record.state == DownloadState::kFailed;
    });
  }

  RepositoryPaths paths() const { return {cache_, TinyHub::kRepository}; }
  fs::path snapshot() const { return paths().snapshots / TinyHub::kCommit; }
  fs::path half() const { return paths().incomplete(TinyHub::sha256(weights())); }

  void expect_whole() {
    EXPECT_EQ(contents(snapshot() / "model.safetensors"), weights());
    EXPECT_TRUE(fs::is_symlink(snapshot() / "model.safetensors"));
    EXPECT_EQ(contents(snapshot() / "config.json"), model_files()["config.json"]);
    EXPECT_FALSE(fs::exists(snapshot() / "junk.bin"));
    EXPECT_EQ(contents(paths().refs / "main"), TinyHub::kCommit);
    EXPECT_FALSE(fs::exists(half()));
  }

  TinyHub hub_{model_files()};
  fs::path root_, cache_;
  MemoryJournal journal_;
  Downloader::Options options_;
  HubPolicy policy_;  // before the start
  Mutex mutex_;
  CondVar changed_;
};

TEST_F(DownloaderTest, BringsWhatAModelNeedsIntoTheCache) {
  const auto downloader = start();
  const auto begun = downloader->begin({TinyHub::kRepository}).take_value();
  EXPECT_FALSE(begun.joined);
  const DownloadStatus status = wait_for(*downloader, begun.status.record.id, DownloadState::kDone);
  EXPECT_EQ(status.record.state, DownloadState::kDone) << status.record.message;
  EXPECT_EQ(status.record.total_bytes, kWeightBytes + model_files()["config.json"].size());
  EXPECT_EQ(status.snapshot, snapshot().string());
  expect_whole();
}

TEST_F(DownloaderTest, TellsOfStatesInTheirOrder) {
  std::vector<DownloadState> told;
  options_.on_change = [this, &told](const DownloadStatus& status) {
    // Whoever tells of the beginning is slower than those who go on.
    if (status.record.state == DownloadState::kQueued)
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const MutexLock lock(mutex_);
    if (told.empty() || told.back() != status.record.state) told.push_back(status.record.state);
    changed_.notify_all();
  };
  const auto downloader = start();
  const std::string id = downloader->begin({TinyHub::kRepository}).take_value().status.record.id;
  wait(*downloader, id, [&](const DownloadStatus&) {
    const MutexLock lock(mutex_);
    return std::count(told.begin(), told.end(), DownloadState::kDone) > 0;
  });
  const MutexLock lock(mutex_);
  if (told.front() == DownloadState::kQueued)
    told.erase(told.begin());  // it may run before its beginning is told
  EXPECT_EQ(told, (std::vector<DownloadState>{DownloadState::kRunning, DownloadState::kDone}));
}

TEST_F(DownloaderTest, PausesAndGoesOnAtTheByte) {
  hub_.hold_after(100'000);
  const auto downloader = start();
  const std::string id = downloader->begin({TinyHub::kRepository}).take_value().status.record.id;
  wait(*downloader, id, [](const DownloadStatus& status) { return status.present_bytes > 100'000; });
  ASSERT_TRUE(downloader->pause(id).ok());
  EXPECT_EQ(downloader->pause(id).error().kind, ErrorKind::kConflict);
  EXPECT_EQ(downloader->status(id)->record.state, DownloadState::kPaused);
  EXPECT_EQ(fs::file_size(half()), 100'000U);
  hub_.release();
  ASSERT_TRUE(downloader->resume(id).ok());
  EXPECT_EQ(wait_for(*downloader, id, DownloadState::kDone).record.message, "");
  EXPECT_EQ(hub_.offsets("model.safetensors"), (std::vector<std::size_t>{0, 100'000}));
  expect_whole();
}

TEST_F(DownloaderTest, GoesOnAfterARestart) {
  hub_.hold_after(50'000);
  std::string id;
  {
    const auto downloader = start();
    id = downloader->begin({TinyHub::kRepository}).take_value().status.record.id;
    wait(*downloader, id, [](const DownloadStatus& status) { return status.present_bytes > 50'000; });
  }
  hub_.release();
  const auto downloader = start();
  EXPECT_EQ(wait_for(*downloader, id, DownloadState::kDone).record.message, "");
  EXPECT_EQ(hub_.offsets("model.safetensors").back(), 50'000U);
  expect_whole();
}

TEST_F(DownloaderTest, StartsAFileAnewWhoseBytesAreNotIts) {
  fs::create_directories(paths().blobs);
  std::ofstream(half()) << std::string(1000, 'x');
  const auto downloader = start();
  const std::string id = downloader->begin({TinyHub::kRepository}).take_value().status.record.id;
  EXPECT_EQ(wait_for(*downloader, id, DownloadState::kDone).record.message, "");
  EXPECT_EQ(hub_.offsets("model.safetensors"), (std::vector<std::size_t>{1000, 0}));
  expect_whole();
}

TEST_F(DownloaderTest, JoinsASecondRequestAndRefusesOtherFiles) {
  hub_.hold_after(1000);
  const auto downloader = start();
  const auto first = downloader->begin({TinyHub::kRepository}).take_value();
  const auto second = downloader->begin({TinyHub::kRepository}).take_value();
  EXPECT_TRUE(second.joined);
  EXPECT_EQ(second.status.record.id, first.status.record.id);
  EXPECT_EQ(downloader->begin({TinyHub::kRepository, "main", {"*.bin"}}).error().kind, ErrorKind::kConflict);
  hub_.release();
  wait_for(*downloader, first.status.record.id, DownloadState::kDone);
  EXPECT_EQ(downloader->list().size(), 1U);
}

TEST_F(DownloaderTest, RefusesWhatTheDiskCannotHold) {
  options_.free_bytes = [](const fs::path&) { return std::optional<std::uint64_t>(1234); };
  const auto downloader = start();
  const std::string id = downloader->begin({TinyHub::kRepository}).take_value().status.record.id;
  const DownloadStatus status = wait_for(*downloader, id, DownloadState::kFailed);
  EXPECT_EQ(status.record.state, DownloadState::kFailed);
  EXPECT_NE(status.record.message.find("300 kB"), std::string::npos) << status.record.message;
  EXPECT_NE(status.record.message.find("1.23 kB"), std::string::npos) << status.record.message;
  EXPECT_TRUE(hub_.offsets("model.safetensors").empty());
}

TEST_F(DownloaderTest, PausesWhenTheDiskIsFullAndKeepsWhatCame) {
  std::atomic<std::size_t> room{120'000};
  options_.write = [&room](int descriptor, const void* bytes, std::size_t size) -> ssize_t {
    const std::size_t now = std::min<std::size_t>(room, size);
    if (now == 0) {
      errno = ENOSPC;
      return -1;
    }
    room -= now;
    return ::write(descriptor, bytes, now);
  };
  const auto downloader = start();
  const std::string id = downloader->begin({TinyHub::kRepository}).take_value().status.record.id;
  const DownloadStatus full = wait_for(*downloader, id, DownloadState::kPaused);
  EXPECT_EQ(full.record.state, DownloadState::kPaused);
  EXPECT_NE(full.record.message.find("disk is full"), std::string::npos) << full.record.message;
  const auto kept = fs::file_size(half());
  EXPECT_GT(kept, 100'000U);
  room = std::size_t{1} << 30U;
  ASSERT_TRUE(downloader->resume(id).ok());
  wait_for(*downloader, id, DownloadState::kDone);
  EXPECT_EQ(hub_.offsets("model.safetensors").back(), kept);
  expect_whole();
}

TEST_F(DownloaderTest, CancelLeavesNothing) {
  hub_.hold_after(100'000);
  const auto downloader = start();
  const std::string id = downloader->begin({TinyHub::kRepository}).take_value().status.record.id;
  wait(*downloader, id, [](const DownloadStatus& status) { return status.present_bytes > 100'000; });
  ASSERT_TRUE(downloader->cancel(id).ok());
  hub_.release();
  wait(*downloader, id, [](const DownloadStatus& status) { return status.record.ended > 0; });
  EXPECT_FALSE(fs::exists(paths().root));
  EXPECT_FALSE(fs::exists(paths().locks));
  ASSERT_TRUE(downloader->forget(id).ok());
  EXPECT_TRUE(downloader->list().empty());
}

TEST_F(DownloaderTest, CancelLeavesWhatAnotherRevisionUses) {
  const std::string other(40, 'a');
  const std::string config = model_files()["config.json"];
  auto git = BlobHash::git_blob(config.size()).take_value();
  git.update(config);
  const std::string etag = git.finish();
  fs::create_directories(paths().blobs);
  std::ofstream(paths().blob(etag)) << config;
  ASSERT_TRUE(link_blob(paths(), other, "config.json", etag).ok());
  ASSERT_TRUE(write_ref(paths(), "main", other).ok());
  hub_.hold_after(100'000);
  const auto downloader = start();
  const std::string id = downloader->begin({TinyHub::kRepository}).take_value().status.record.id;
  wait(*downloader, id, [](const DownloadStatus& status) { return status.present_bytes > 100'000; });
  ASSERT_TRUE(downloader->cancel(id).ok());
  hub_.release();
  wait(*downloader, id, [](const DownloadStatus& status) { return status.record.ended > 0; });
  EXPECT_FALSE(fs::exists(snapshot()));
  EXPECT_FALSE(fs::exists(half()));
  EXPECT_EQ(contents(paths().snapshots / other / "config.json"), config);
  EXPECT_EQ(contents(paths().refs / "main"), other);
}

TEST_F(DownloaderTest, WaitsForABlobThatAnotherProgramWrites) {
  const std::string etag = TinyHub::sha256(weights());
  BlobLock held;
  ASSERT_TRUE(BlobLock::try_acquire(paths().lock(etag), held).take_value());
  const auto downloader = start();
  const std::string id = downloader->begin({TinyHub::kRepository}).take_value().status.record.id;
  wait(*downloader, id, [](const DownloadStatus& status) {
    return status.waiting.find("another program") != std::string::npos;
  });
  EXPECT_TRUE(hub_.offsets("model.safetensors").empty());
  held = BlobLock();
  wait_for(*downloader, id, DownloadState::kDone);
  expect_whole();
}

TEST_F(DownloaderTest, GivesUpOnAHubThatIsSilentForLongerThanThePolicySays) {
  hub_.hold_after(0);
  policy_.silence_timeout = std::chrono::seconds(1);
  options_.attempts = 1;
  const auto downloader = start();
  const std::string id = downloader->begin({.repository = TinyHub::kRepository})->status.record.id;
  const DownloadStatus failed = wait_for(*downloader, id, DownloadState::kFailed);
  EXPECT_EQ(failed.record.state, DownloadState::kFailed);
  hub_.release();
  ASSERT_TRUE(downloader->resume(id).ok());
  EXPECT_EQ(wait_for(*downloader, id, DownloadState::kDone).record.state, DownloadState::kDone);
  expect_whole();
}

}  // namespace
}  // namespace mlxd
