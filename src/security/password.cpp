#include "security/password.h"

#include <sodium.h>

#include <array>

#include "security/sodium_start.h"
#include "security/token.h"

namespace mlxd {
namespace {

constexpr std::size_t kMinBytes = 8;
constexpr std::size_t kMaxBytes = 256;

}  // namespace

Result<void> check_password(std::string_view password) {
  if (password.size() < kMinBytes)
    return invalid_argument("the password has fewer than 8 characters: choose a longer one", "password");
  if (password.size() > kMaxBytes)
    return invalid_argument("the password has more than 256 bytes: choose a shorter one", "password");
  return {};
}

Result<std::string> hash_password(std::string_view password) {
  ensure_sodium();
  std::array<char, crypto_pwhash_STRBYTES> hash{};
  if (crypto_pwhash_str_alg(hash.data(), password.data(), password.size(), crypto_pwhash_OPSLIMIT_INTERACTIVE,
                            crypto_pwhash_MEMLIMIT_INTERACTIVE, crypto_pwhash_ALG_ARGON2ID13) != 0)
    return Error(ErrorKind::kOutOfMemory, "hashing a password needs 64 MiB of memory: try again");
  return std::string(hash.data());
}

bool is_password(std::string_view password, const std::string& hash) {
  ensure_sodium();
  if (password.size() > kMaxBytes || hash.size() >= crypto_pwhash_STRBYTES) return false;
  return crypto_pwhash_str_verify(hash.c_str(), password.data(), password.size()) == 0;
}

void pretend_to_check_password(std::string_view password) {
  static const std::string somebodys = [] {
    auto hash = hash_password(random_token(16));
    return hash.ok() ? hash.take_value() : std::string();
  }();
  [[maybe_unused]] const bool never = is_password(password, somebodys);
}

}  // namespace mlxd
