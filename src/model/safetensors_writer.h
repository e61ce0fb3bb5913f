// Writes one safetensors file whose tensors are known by name, type and shape beforehand and whose data comes
// piece by piece, in any order, so that memory stays bounded by a piece. One owner thread. A writer that
// is destroyed before `finish` leaves an incomplete file behind: write into a temporary folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "model/tensor.h"

namespace mlxd {

struct TensorLayout {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;

  std::size_t num_bytes() const;
};

class SafetensorsWriter {
 public:
  /// Creates PATH and writes the header. Errors: kIo; kInvalidArgument for a name given twice.
  static Result<SafetensorsWriter> create(const std::filesystem::path& path,
                                          std::vector<TensorLayout> tensors);

  SafetensorsWriter(SafetensorsWriter&& other) noexcept;
  SafetensorsWriter& operator=(SafetensorsWriter&& other) noexcept;
  ~SafetensorsWriter();

  /// The whole data of tensor `name`; its size must be the layout's (kInternal otherwise).
  Result<void> write(std::string_view name, std::span<const std::byte> data);
  /// A piece of tensor `name`'s data that begins at byte `offset` of it; pieces together are the whole, once
  /// (kInternal for more than the layout's size).
  Result<void> write_part(std::string_view name, std::uint64_t offset, std::span<const std::byte> data);
  /// Checks that every tensor was written once and flushes the file to disk.
  Result<void> finish();

  std::uint64_t file_bytes() const { return file_bytes_; }

 private:
  struct Slot {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
    std::uint64_t written = 0;  // bytes
  };

  SafetensorsWriter() = default;
  Result<void> write_at(std::uint64_t offset, std::span<const std::byte> data) const;

  int fd_ = -1;
  std::filesystem::path path_;
  std::unordered_map<std::string, Slot> slots_;
  std::uint64_t file_bytes_ = 0;
};

}  // namespace mlxd
