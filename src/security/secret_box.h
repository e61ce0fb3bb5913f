// Encrypts what must be kept but never shown (tokens of other services), with libsodium's secretbox
// (XSalsa20-Poly1305) and the key in HOME/secret.key, mode 0600. The file has one key a line, the newest
// first: while secrets move to a new key it has both, so that a kill at any moment leaves all of them
// readable. Thread-safe.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"

namespace mlxd {

class SecretBox {
 public:
  /// Reads the key's file, or makes it. Errors: kIo, kCorruptData (no such file as this writes), kForbidden
  /// (others may read it).
  static Result<std::unique_ptr<SecretBox>> open(const std::filesystem::path& key_file);
  /// With a key that goes with the object.
  static std::unique_ptr<SecretBox> in_memory();

  /// Text that only this box opens.
  std::string seal(std::string_view plain) const;
  /// Errors: kCorruptData if it was not sealed with a key of this box, or has been changed.
  Result<std::string> unseal(std::string_view sealed) const;

  /// Puts a new key before the others; what is sealed from now on needs it. Then unseal and seal each secret
  /// again and call `forget_old_keys`. Errors: kIo.
  Result<void> add_key();
  Result<void> forget_old_keys();

 private:
  struct Key {
    std::string id;
    std::string bytes;
  };
  explicit SecretBox(std::filesystem::path file) : file_(std::move(file)) {}
  Result<void> write(const std::vector<Key>& keys) const;
  static Key make_key();

  const std::filesystem::path file_;  // empty: in memory
  mutable Mutex mutex_;
  std::vector<Key> keys_ GUARDED_BY(mutex_);
};

}  // namespace mlxd
