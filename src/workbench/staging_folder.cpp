#include "workbench/staging_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "base/mapped_file.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;

// What a job must leave free: a full disk harms everybody.
constexpr std::uint64_t kReserveBytes = std::uint64_t{64} << 20U;

Error file_error(const std::string& what, const std::error_code& code) {
  return {ErrorKind::kIo, what + ": " + code.message()};
}

// What jobs call themselves, and the ends of the names beside their folders.
constexpr std::array<std::string_view, 2> kActivities = {"importing", "converting"};
constexpr std::string_view kLockEnding = ".lock";
constexpr std::string_view kAsideEnding = ".old";

// Those of one job, if it has ended.
void remove_remains_of(const fs::path& folder) {
  const fs::path lock_path = folder.string() + std::string(kLockEnding);
  const int lock = ::open(lock_path.c_str(), O_RDWR | O_CLOEXEC);
  if (lock < 0) return;
  if (::flock(lock, LOCK_EX | LOCK_NB) == 0) {
    std::error_code error;
    const fs::path aside = folder.string() + std::string(kAsideEnding);
    const std::string name = folder.filename().string();
    const fs::path target = folder.parent_path() / name.substr(name.find('-') + 1);
    if (fs::exists(aside, error) && !fs::exists(fs::symlink_status(target, error)))
      fs::rename(aside, target, error);
    fs::remove_all(aside, error);
    fs::remove_all(folder, error);
    if (!error) fs::remove(lock_path, error);
  }
  ::close(lock);
}

Result<void> write_all(int fd, std::string_view text, const fs::path& path) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return io_error("cannot write " + path.string(), errno);
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fsync(fd) != 0) return io_error("cannot flush " + path.string(), errno);
  return {};
}

}  // namespace

Result<StagingFolder> StagingFolder::create(const fs::path& target, std::string_view activity) {
  const fs::path parent = target.has_parent_path() ? target.parent_path() : fs::path(".");
  std::error_code error;
  fs::create_directories(parent, error);
  if (error) return file_error("cannot create " + parent.string(), error);
  const std::string name = target.filename().string();
  StagingFolder staging;
  staging.target_ = target;
  staging.path_ = parent / ("." + std::string(activity) + "-" + name);
  staging.lock_path_ = staging.path_.string() + std::string(kLockEnding);
  staging.lock_ = ::open(staging.lock_path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (staging.lock_ < 0) return io_error("cannot create " + staging.lock_path_.string(), errno);
  if (::flock(staging.lock_, LOCK_EX | LOCK_NB) != 0) {
    ::close(std::exchange(staging.lock_, -1));
    return Error(ErrorKind::kConflict, name + " is being made by another process; wait for it to end");
  }
  fs::remove_all(staging.path_, error);
  fs::create_directory(staging.path_, error);
  if (error) return file_error("cannot create " + staging.path_.string(), error);
  return staging;
}

StagingFolder::StagingFolder(StagingFolder&& other) noexcept
    : target_(std::move(other.target_)),
      path_(std::move(other.path_)),
      lock_path_(std::move(other.lock_path_)),
      lock_(std::exchange(other.lock_, -1)) {}

StagingFolder::~StagingFolder() {
  if (lock_ < 0) return;
  std::error_code ignored;
  fs::remove_all(path_, ignored);
  fs::remove(lock_path_, ignored);
  ::close(lock_);
}

Result<void> StagingFolder::write_text(std::string_view name, std::string_view text) const {
  const fs::path path = path_ / name;
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return io_error("cannot create " + path.string(), errno);
  Result<void> written = write_all(fd, text, path);
  ::close(fd);
  return written;
}

Result<void> StagingFolder::copy_file(const fs::path& from, std::string_view name) const {
  const MappedFile file = TRY(MappedFile::open(from));
  return write_text(name, {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()});
}

Result<void> StagingFolder::check_space(std::uint64_t bytes) const {
  return check_free_space(path_.parent_path(), bytes);
}

Result<void> StagingFolder::publish(bool replace) {
  std::error_code error;
  const fs::path old = path_.string() + std::string(kAsideEnding);
  fs::remove_all(old, error);
  const bool exists = fs::exists(target_, error);
  if (exists && !replace)
    return Error(ErrorKind::kConflict, target_.string() + " exists by now; remove it first");
  if (exists) {
    fs::rename(target_, old, error);
    if (error) return file_error("cannot move " + target_.string() + " aside", error);
  }
  fs::rename(path_, target_, error);
  if (error) {
    std::error_code ignored;
    if (exists) fs::rename(old, target_, ignored);
    return file_error("cannot create " + target_.string(), error);
  }
  fs::remove_all(old, error);
  return {};
}

void StagingFolder::remove_remains(const fs::path& parent) {
  std::error_code error;
  std::vector<fs::path> folders;
  for (fs::directory_iterator entry(parent, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const bool is_ours = std::any_of(kActivities.begin(), kActivities.end(), [&](std::string_view activity) {
      return name.starts_with("." + std::string(activity) + "-");
    });
    if (is_ours && name.ends_with(kLockEnding))
      folders.push_back(parent / name.substr(0, name.size() - kLockEnding.size()));
  }
  for (const fs::path& folder : folders) remove_remains_of(folder);
}

Result<void> check_free_space(const fs::path& folder, std::uint64_t bytes) {
  std::error_code error;
  fs::path place = folder;
  while (!fs::exists(place, error) && place.has_relative_path()) place = place.parent_path();
  const fs::space_info space = fs::space(place, error);
  const std::uint64_t needed = bytes + kReserveBytes;
  if (error || space.available >= needed) return {};
  return Error(ErrorKind::kIo, "not enough space in " + folder.string() + ": " +
                                   std::to_string(needed >> 20U) + " MB are needed, " +
                                   std::to_string(space.available >> 20U) + " MB are free");
}

}  // namespace mlxd
