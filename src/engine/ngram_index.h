// Where in a growing text its last few tokens stood before: the longest such match among the most recent
// occurrences of the last three tokens, or else of the last two. Appending and looking up take constant time;
// memory is bounded by kMostTokens, beyond which the older half is forgotten. One owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "generation/token.h"

namespace mlxd {

class NgramIndex {
 public:
  static constexpr std::size_t kMostTokens = std::size_t{1} << 16U;
  static constexpr std::int32_t kLongestMatch = 32;  // longer ones count as this long

  /// kNoToken parts the text: nothing matches across it.
  void append(std::span<const TokenId> tokens);

  struct Match {
    std::int32_t position = 0;    // what follows the match, an index into text()
    std::int32_t num_tokens = 0;  // its length; 0: there is none
  };
  Match find_last();

  /// What is remembered of all that was appended.
  std::span<const TokenId> text() const { return text_; }
  /// Tokens forgotten at the text's beginning.
  std::size_t num_forgotten() const { return num_forgotten_; }
  std::size_t memory_bytes() const;

 private:
  std::size_t pair_slot(std::size_t last) const;
  std::size_t triple_slot(std::size_t last) const;
  void index_up_to(std::size_t end);
  void forget_older_half();
  void resize_tables(std::size_t num_tokens);
  std::int32_t common_before(std::size_t position) const;

  std::vector<TokenId> text_;
  std::size_t num_forgotten_ = 0;
  std::size_t num_indexed_ = 0;  // n-grams that end before this are in the tables
  // By hash, the position of an n-gram's last token, plus one; 0: none. Equal hashes share a slot, so that
  // what is found has to be compared.
  std::vector<std::uint32_t> pairs_;
  std::vector<std::uint32_t> triples_;
  std::vector<std::uint32_t> earlier_;  // by position: what triples_ held before it
};

}  // namespace mlxd
