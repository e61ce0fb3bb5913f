#include "catalog/blob_download.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "catalog/blob_hash.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kReadBytes = std::size_t{1} << 20U;
constexpr std::chrono::milliseconds kLockPoll{200};
// A second wrong hash is no accident on the way.
constexpr int kMaxWrongHashes = 2;
constexpr std::chrono::seconds kMaxRetryAfter{600};

class File {
 public:
  File() = default;
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  Result<void> open(const fs::path& path) {
    path_ = path;
    descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor_ < 0) return io_error("cannot open " + path.string(), errno);
    return {};
  }
  int descriptor() const { return descriptor_; }
  Result<std::uint64_t> size() const {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) return io_error("cannot look at " + path_.string(), errno);
    return static_cast<std::uint64_t>(status.st_size);
  }
  /// Cuts to `size` and goes there.
  Result<void> cut(std::uint64_t size) {
    if (::ftruncate(descriptor_, static_cast<off_t>(size)) != 0 ||
        ::lseek(descriptor_, static_cast<off_t>(size), SEEK_SET) < 0)
      return io_error("cannot cut " + path_.string(), errno);
    return {};
  }
  Result<void> sync() {
    if (::fsync(descriptor_) != 0) return io_error("cannot bring " + path_.string() + " to the disk", errno);
    return {};
  }

 private:
  fs::path path_;
  int descriptor_ = -1;
};

bool is_full(int code) { return code == ENOSPC || code == EDQUOT; }

// "bytes 100-199/200" → 100.
std::optional<std::uint64_t> range_begin(std::string_view header) {
  constexpr std::string_view kUnit = "bytes ";
  if (!header.starts_with(kUnit)) return std::nullopt;
  header.remove_prefix(kUnit.size());
  std::uint64_t begin = 0;
  const auto [end, code] = std::from_chars(header.data(), header.data() + header.size(), begin);
  if (code != std::errc() || end == header.data() + header.size() || *end != '-') return std::nullopt;
  return begin;
}

class Download {
 public:
  Download(const BlobDownload& given, HttpTransfer& transfer, StopFlag& stop)
      : given_(given), transfer_(transfer), stop_(stop) {}

  Result<BlobEnd> run();

 private:
  enum class Step { kGoOn, kEnd };

  Result<bool> acquire();
  bool is_there() const;
  Result<void> begin_hash();
  Result<void> restart();
  Result<void> hash_what_is_there();
  Result<BlobEnd> fetch();
  Result<void> on_head(const ResponseHead& head);
  Result<void> on_body(std::string_view bytes);
  Result<BlobEnd> finish();
  void tell() const {
    if (given_.on_progress) given_.on_progress(present_);
  }
  void wait_because(const std::string& reason) const {
    if (given_.on_wait) given_.on_wait(reason);
  }
  std::string name() const { return given_.file.path + " of " + given_.repository; }

  const BlobDownload& given_;
  HttpTransfer& transfer_;
  StopFlag& stop_;
  BlobLock lock_;
  File file_;
  std::optional<BlobHash> hash_;
  std::uint64_t present_ = 0;
  std::uint64_t asked_from_ = 0;
  bool disk_full_ = false;
  bool ranges_work_ = true;
};

bool Download::is_there() const {
  std::error_code code;
  const auto size = fs::file_size(given_.paths.blob(given_.file.etag()), code);
  return !code && size == given_.file.size_bytes;
}

Result<bool> Download::acquire() {
  bool told = false;
  for (;;) {
    if (TRY(BlobLock::try_acquire(given_.paths.lock(given_.file.etag()), lock_))) break;
    if (!told) wait_because("another program is downloading " + given_.file.path);
    told = true;
    if (stop_.wait_for(kLockPoll)) return false;
  }
  if (told) wait_because("");
  return true;
}

Result<void> Download::begin_hash() {
  hash_ =
      given_.file.sha256.empty() ? TRY(BlobHash::git_blob(given_.file.size_bytes)) : TRY(BlobHash::sha256());
  return {};
}

Result<void> Download::restart() {
  TRY(file_.cut(0));
  TRY(begin_hash());
  present_ = 0;
  tell();
  return {};
}

Result<void> Download::hash_what_is_there() {
  const std::uint64_t size = TRY(file_.size());
  TRY(begin_hash());
  if (size > given_.file.size_bytes) return restart();
  std::vector<char> buffer(kReadBytes);
  while (present_ < size) {
    if (stop_.stopped()) return Error(ErrorKind::kCancelled, "stopped");
    const ssize_t count =
        ::pread(file_.descriptor(), buffer.data(), buffer.size(), static_cast<off_t>(present_));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return io_error("cannot read what there is of " + name(), errno);
    if (count == 0) break;
    hash_->update({buffer.data(), static_cast<std::size_t>(count)});
    present_ += static_cast<std::uint64_t>(count);
    tell();
  }
  return file_.cut(present_);
}

// 206 goes on where asked; 200 is the whole file again; anything else of a success is no file.
Result<void> Download::on_head(const ResponseHead& head) {
  if (head.status == 206) {
    if (range_begin(head.header("content-range")) == asked_from_ && asked_from_ == present_) return {};
    ranges_work_ = false;
    return Error(ErrorKind::kUnavailable,
                 "the server sent another part of " + name() + " than it was asked for");
  }
  if (head.status != 200)
    return Error(ErrorKind::kIo, "the hub answered " + std::to_string(head.status) + " for " + name());
  return present_ == 0 ? Result<void>() : restart();
}

Result<void> Download::on_body(std::string_view bytes) {
  if (present_ + bytes.size() > given_.file.size_bytes)
    return corrupt_data("the server sends more of " + name() + " than the " +
                        std::to_string(given_.file.size_bytes) + " bytes it should have");
  const char* data = bytes.data();
  std::size_t left = bytes.size();
  while (left > 0) {
    const ssize_t count =
        given_.write ? given_.write(file_.descriptor(), data, left) : ::write(file_.descriptor(), data, left);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      disk_full_ = is_full(errno);
      return io_error("cannot write " + name(), errno);
    }
    const auto written = static_cast<std::size_t>(count);
    hash_->update({data, written});
    present_ += written;
    data += written;
    left -= written;
  }
  tell();
  if (given_.on_received) given_.on_received(bytes.size());
  return {};
}

Result<BlobEnd> Download::fetch() {
  int silent_attempts = 0;
  bool waits = false;
  while (present_ < given_.file.size_bytes) {
    if (stop_.stopped()) return BlobEnd::kStopped;
    TRY(given_.hub->check_online(given_.file.path));
    if (!ranges_work_ && present_ > 0) TRY(restart());
    const std::uint64_t before = present_;
    asked_from_ = present_;
    TransferRequest request;
    request.url = given_.hub->file_url(given_.repository, given_.commit, given_.file.path);
    const HubPlaces places = TRY(given_.hub->places_now());
    request.token = places.token;
    if (present_ > 0) request.offset = present_;
    given_.hub->set_timeouts(request, std::chrono::milliseconds(0));
    request.cancelled = [this] {
      return stop_.stopped() || !given_.hub->check_online(given_.file.path).ok();
    };
    request.on_head = [this](const ResponseHead& head) { return on_head(head); };
    request.on_body = [this, &waits](std::string_view bytes) {
      if (waits) wait_because("");
      waits = false;
      return on_body(bytes);
    };
    const auto head = transfer_.get(request);
    if (disk_full_) return BlobEnd::kDiskFull;
    if (stop_.stopped()) return BlobEnd::kStopped;
    TRY(given_.hub->check_online(given_.file.path));
    Error error(ErrorKind::kUnavailable, "the answer ended before the file did");
    std::chrono::milliseconds minimum{0};
    if (!head) {
      error = head.error();
      if (!is_worth_a_retry(error)) return error;
    } else if (head->status == 416) {
      // Nothing after what is there: what is there is not this file.
      ranges_work_ = false;
    } else if (head->status < 200 || head->status >= 300) {
      error = describe_refusal(*head, places, given_.repository, given_.file.path);
      if (!is_worth_a_retry(head->status)) return error;
      if (const auto wait = head->retry_after()) minimum = std::min(*wait, kMaxRetryAfter);
    } else if (present_ == given_.file.size_bytes) {
      break;
    }
    silent_attempts = present_ > before ? 0 : silent_attempts + 1;
    if (given_.attempts > 0 && silent_attempts >= given_.attempts) return error;
    const auto delay = std::max(minimum, retry_delay(given_.retry_base, std::max(1, silent_attempts)));
    wait_because(error.message);
    waits = true;
    if (stop_.wait_for(delay)) return BlobEnd::kStopped;
  }
  if (waits) wait_because("");
  return BlobEnd::kDone;
}

Result<BlobEnd> Download::finish() {
  TRY(file_.sync());
  const fs::path from = given_.paths.incomplete(given_.file.etag());
  const fs::path to = given_.paths.blob(given_.file.etag());
  if (::rename(from.c_str(), to.c_str()) != 0) return io_error("cannot name " + to.string(), errno);
  return BlobEnd::kDone;
}

Result<BlobEnd> Download::run() {
  std::error_code code;
  fs::create_directories(given_.paths.blobs, code);
  if (code) return io_error("cannot make the folder " + given_.paths.blobs.string(), code.value());
  if (!is_there() && !TRY(acquire())) return BlobEnd::kStopped;
  // Another program may have brought it while this one waited.
  if (is_there()) {
    present_ = given_.file.size_bytes;
    tell();
    return BlobEnd::kDone;
  }
  TRY(file_.open(given_.paths.incomplete(given_.file.etag())));
  const auto hashed = hash_what_is_there();
  if (!hashed) {
    if (hashed.error().kind == ErrorKind::kCancelled) return BlobEnd::kStopped;
    return hashed.error();
  }
  for (int wrong = 0;;) {
    const BlobEnd end = TRY(fetch());
    if (end != BlobEnd::kDone) return end;
    if (hash_->finish() == given_.file.etag()) return finish();
    TRY(restart());
    if (++wrong >= kMaxWrongHashes)
      return corrupt_data(name() + " does not have the checksum " + given_.file.etag().substr(0, 12) +
                          "… that the hub gives, twice: what came is thrown away");
  }
}

}  // namespace

Result<BlobEnd> download_blob(const BlobDownload& download, HttpTransfer& transfer, StopFlag& stop) {
  return Download(download, transfer, stop).run();
}

}  // namespace mlxd
