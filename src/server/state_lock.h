// One process at a time owns a state folder: what it has in memory of accounts and settings would else be
// another's past. The lock (flock of mlxd.lock) ends with the process, however it ends. A value, one owner.
#pragma once

#include <filesystem>
#include <utility>

#include "base/result.h"

namespace mlxd {

class StateLock {
 public:
  /// Errors: kConflict (another process has it), kIo.
  static Result<StateLock> take(const std::filesystem::path& state_folder);
  /// Of no folder.
  StateLock() = default;
  StateLock(StateLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  StateLock& operator=(StateLock&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~StateLock();

 private:
  explicit StateLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_ = -1;
};

}  // namespace mlxd
