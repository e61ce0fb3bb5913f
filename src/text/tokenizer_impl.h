// What Tokenizer holds, for this module's own classes: the library's handle and views into its token table.
#pragma once

#include <cstdint>
#include <string_view>

#include "text/tokenizer.h"
#include "textkit.h"

namespace mlxd {

struct Tokenizer::Impl {
  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl();

  bool in_range(TokenId token) const {
    return token >= 0 && static_cast<std::uint32_t>(token) < table.vocab_size;
  }
  /// Bits of TEXTKIT_TOKEN_*; none for ids out of range.
  unsigned flags(TokenId token) const { return in_range(token) ? table.flags[token] : 0U; }
  bool has(TokenId token) const { return (flags(token) & TEXTKIT_TOKEN_PRESENT) != 0; }
  /// The token's bytes in running text.
  std::string_view piece(TokenId token) const {
    if (!in_range(token)) return {};
    const std::uint32_t start = table.offsets[token];
    const std::uint32_t end = table.offsets[token + 1];
    return {reinterpret_cast<const char*>(table.pieces) + start, end - start};
  }

  TextkitTokenizer* handle = nullptr;
  TextkitTokenTable table{};
};

}  // namespace mlxd
