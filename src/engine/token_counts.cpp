#include "engine/token_counts.h"

#include <algorithm>

namespace mlxd {

std::size_t TokenCounts::home(TokenId token) const {
  // Fibonacci hashing: neighbouring ids spread over the table.
  return (static_cast<std::uint32_t>(token) * std::uint64_t{2654435769U} >> 7U) & (slots_.size() - 1);
}

TokenCount& TokenCounts::entry(TokenId token) {
  if (2 * (entries_.size() + 1) > slots_.size()) grow();
  std::size_t slot = home(token);
  while (slots_[slot] != 0) {
    TokenCount& found = entries_[static_cast<std::size_t>(slots_[slot]) - 1];
    if (found.token == token) return found;
    slot = (slot + 1) & (slots_.size() - 1);
  }
  entries_.push_back({.token = token});
  slots_[slot] = static_cast<std::int32_t>(entries_.size());
  return entries_.back();
}

void TokenCounts::grow() {
  slots_.assign(std::max<std::size_t>(64, 2 * slots_.size()), 0);
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    std::size_t slot = home(entries_[i].token);
    while (slots_[slot] != 0) slot = (slot + 1) & (slots_.size() - 1);
    slots_[slot] = static_cast<std::int32_t>(i) + 1;
  }
}

}  // namespace mlxd
