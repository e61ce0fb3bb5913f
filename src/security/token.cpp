#include "security/token.h"

#include <sodium.h>

#include <array>
#include <vector>

#include "base/check.h"
#include "security/sodium_start.h"

namespace mlxd {
namespace {

std::string hex(const unsigned char* bytes, std::size_t size) {
  std::string text(size * 2 + 1, '\0');
  sodium_bin2hex(text.data(), text.size(), bytes, size);
  text.pop_back();
  return text;
}

std::string keyed_hash(std::string_view text, std::string_view key) {
  std::array<unsigned char, 32> hash{};
  crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const unsigned char*>(text.data()),
                     text.size(), key.empty() ? nullptr : reinterpret_cast<const unsigned char*>(key.data()),
                     key.size());
  return hex(hash.data(), hash.size());
}

}  // namespace

void ensure_sodium() {
  // 1: it was ready already. It fails only where the system has no random numbers at all.
  static const int started = sodium_init();
  CHECK(started >= 0);
}

std::string random_token(std::size_t num_bytes) {
  ensure_sodium();
  std::vector<unsigned char> bytes(num_bytes);
  randombytes_buf(bytes.data(), bytes.size());
  constexpr int kVariant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
  std::string text(sodium_base64_encoded_len(num_bytes, kVariant), '\0');
  sodium_bin2base64(text.data(), text.size(), bytes.data(), bytes.size(), kVariant);
  text.resize(text.find('\0'));
  return text;
}

std::string token_hash(std::string_view token) {
  ensure_sodium();
  return keyed_hash(token, {});
}

std::string derived_token(std::string_view token, std::string_view purpose) {
  ensure_sodium();
  // BLAKE2b takes keys from 16 bytes on.
  std::string key(purpose);
  key.resize(crypto_generichash_KEYBYTES, '.');
  return keyed_hash(token, key);
}

bool same_secret(std::string_view a, std::string_view b) {
  ensure_sodium();
  return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace mlxd
