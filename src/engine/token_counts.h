// How often each token has been seen by a request, for the penalties: the distinct tokens as one dense span,
// updated in O(1) a token. One owner.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/step_batch.h"

namespace mlxd {

class TokenCounts {
 public:
  void add_prompt(TokenId token) { entry(token).in_prompt = true; }
  void add_generated(TokenId token) { ++entry(token).generated; }

  /// In order of first appearance.
  std::span<const TokenCount> entries() const { return entries_; }

 private:
  TokenCount& entry(TokenId token);
  void grow();
  std::size_t home(TokenId token) const;

  std::vector<TokenCount> entries_;
  std::vector<std::int32_t> slots_;  // open addressing: index into entries_ + 1; 0: empty. A power of two.
};

}  // namespace mlxd
