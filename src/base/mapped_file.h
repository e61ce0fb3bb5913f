// A file mapped read-only into memory. Views into it live as long as the object; moving it keeps them valid.
// Thread-safe for reading. If another process truncates the file while mapped, reads fault: model folders are
// taken to be left alone while a model is loading.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "base/result.h"

namespace mlxd {

class MappedFile {
 public:
  /// Maps the whole of a regular file. Errors: kNotFound, kIo; an empty file maps to an empty span.
  static Result<MappedFile> open(const std::filesystem::path& path);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

  /// Tells the system that `part` (a subspan of bytes()) is not needed in memory any more; it can be read
  /// again.
  void drop_pages(std::span<const std::byte> part) const;
  /// Tells the system that `part` will be read soon, front to back.
  void will_need(std::span<const std::byte> part) const;

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::filesystem::path path_;
};

}  // namespace mlxd
