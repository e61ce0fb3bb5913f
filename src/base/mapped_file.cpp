#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

namespace mlxd {
namespace {

struct PageRange {
  void* begin = nullptr;
  std::size_t size = 0;
};

// The whole pages inside `part`, or with `outward` the pages it touches.
PageRange whole_pages(std::span<const std::byte> part, bool outward) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  auto begin = reinterpret_cast<std::uintptr_t>(part.data());
  auto end = begin + part.size();
  begin = outward ? begin / page * page : (begin + page - 1) / page * page;
  end = outward ? end : end / page * page;
  if (end <= begin) return {};
  return {reinterpret_cast<void*>(begin), end - begin};
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return io_error("cannot open " + path.string(), errno);
  struct stat info {};
  if (::fstat(fd, &info) != 0) {
    const int saved = errno;
    ::close(fd);
    return io_error("cannot read the size of " + path.string(), saved);
  }
  if (!S_ISREG(info.st_mode)) {
    ::close(fd);
    return Error(ErrorKind::kIo, path.string() + " is not a regular file");
  }
  MappedFile file;
  file.path_ = path;
  file.size_ = static_cast<std::size_t>(info.st_size);
  if (file.size_ > 0) {
    void* data = ::mmap(nullptr, file.size_, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
      const int saved = errno;
      ::close(fd);
      file.size_ = 0;
      return io_error("cannot map " + path.string(), saved);
    }
    file.data_ = static_cast<const std::byte*>(data);
  }
  ::close(fd);
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      path_(std::move(other.path_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::drop_pages(std::span<const std::byte> part) const {
  const PageRange pages = whole_pages(part, false);
  if (pages.size > 0) ::madvise(pages.begin, pages.size, MADV_DONTNEED);
}

void MappedFile::will_need(std::span<const std::byte> part) const {
  const PageRange pages = whole_pages(part, true);
  if (pages.size > 0) ::madvise(pages.begin, pages.size, MADV_WILLNEED);
}

}  // namespace mlxd
