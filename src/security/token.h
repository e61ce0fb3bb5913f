// Random tokens, and how they are kept: by their hash, which a thief of the database cannot turn back.
// Functions; thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mlxd {

/// `num_bytes` bytes from the system's generator as URL-safe Base64 without padding; 32 cannot be guessed.
std::string random_token(std::size_t num_bytes);

/// BLAKE2b-256 as 64 hexadecimal digits. For tokens of random_token only: words that people choose need
/// hash_password.
std::string token_hash(std::string_view token);

/// A second token that belongs to the first and doesn't reveal it; another for each `purpose` (up to 32
/// characters).
std::string derived_token(std::string_view token, std::string_view purpose);

/// Takes as long wherever they differ.
bool same_secret(std::string_view a, std::string_view b);

}  // namespace mlxd
