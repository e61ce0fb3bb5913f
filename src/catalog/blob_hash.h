// The hash that names a blob in the hub's cache, computed as its bytes come. One owner; movable.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace mlxd {

class BlobHash {
 public:
  /// Of an LFS file: SHA-256 of its bytes. Errors: kOutOfMemory.
  static Result<BlobHash> sha256();
  /// Of any other: git's object name, SHA-1 of "blob SIZE\0" and its bytes.
  static Result<BlobHash> git_blob(std::uint64_t size_bytes);

  void update(std::span<const char> bytes);
  /// Lower-case hexadecimal; once.
  std::string finish();

 private:
  struct Free {
    void operator()(void* context) const;
  };
  explicit BlobHash(void* context) : context_(context) {}
  std::unique_ptr<void, Free> context_;
};

}  // namespace mlxd
