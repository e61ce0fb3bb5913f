// FNV-1a over 64 bits (http://www.isthe.com/chongo/tech/comp/fnv): a quick hash that is the same everywhere.
// Whoever chooses the text can make two that collide: not for secrets, nor where a collision does harm.
#pragma once

#include <cstdint>
#include <string_view>

namespace mlxd {

inline constexpr std::uint64_t kFnvBasis = 0xcbf29ce484222325U;

/// `hash`: of what comes before `text`.
constexpr std::uint64_t fnv_hash(std::string_view text, std::uint64_t hash = kFnvBasis) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash;
}

}  // namespace mlxd
