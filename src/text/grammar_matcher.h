// Constrained decoding: which tokens may come next under a JSON schema, a regular expression or a Lark
// grammar.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "generation/grammar.h"
#include "generation/token.h"
#include "text/tokenizer.h"

namespace mlxd {

class GrammarMatcher;

/// What all grammars of one model share: a trie of its tokens. Takes about a tenth of a second to make.
/// Immutable, thread-safe.
class GrammarEnvironment {
 public:
  /// `vocab_size`: the model's number of logits, at least the tokenizer's; ids that the tokenizer lacks are
  /// never allowed. `end_tokens` may follow a complete text; at least one.
  static Result<GrammarEnvironment> create(const Tokenizer& tokenizer, std::int32_t vocab_size,
                                           std::span<const TokenId> end_tokens);

  GrammarEnvironment(GrammarEnvironment&&) noexcept;
  GrammarEnvironment& operator=(GrammarEnvironment&&) noexcept;
  ~GrammarEnvironment();

  /// Compiles `source`. Errors: kInvalidArgument (malformed, or a schema that is not supported), kTooLarge.
  /// The matcher does not need this object any longer.
  Result<GrammarMatcher> compile(GrammarKind kind, std::string_view source) const;

  std::int32_t vocab_size() const;
  std::size_t mask_words() const { return (static_cast<std::size_t>(vocab_size()) + 31) / 32; }

 private:
  struct Impl;
  explicit GrammarEnvironment(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Follows one text. One owner at a time.
class GrammarMatcher {
 public:
  GrammarMatcher(GrammarMatcher&&) noexcept;
  GrammarMatcher& operator=(GrammarMatcher&&) noexcept;
  ~GrammarMatcher();

  /// Another one that has come as far. Errors: kInternal.
  Result<GrammarMatcher> copy() const;
  /// The same, cheaper: what both have learned of the grammar they share, so that no two threads may use them
  /// at a time.
  Result<GrammarMatcher> fork() const;

  /// Bit i % 32 of words[i / 32] tells whether token i may come next. Once the text is complete, only end
  /// tokens. `words` has at least the environment's mask_words(). Errors: kUnsupported (the grammar became
  /// too complex).
  Result<void> compute_mask(std::span<std::uint32_t> words);
  /// How many of these tokens may come, one after the other.
  std::int32_t num_allowed(std::span<const TokenId> tokens);
  /// What comes next whatever is chosen; empty if there is a choice.
  std::string forced_bytes();
  /// Advances by a sampled token. kInvalidArgument, with the state unchanged, if it is not allowed.
  Result<void> accept(TokenId token);
  /// The text may end here.
  Result<bool> is_accepting();
  /// Nothing but an end token can follow.
  Result<bool> is_stopped();

 private:
  friend class GrammarEnvironment;
  struct Impl;
  explicit GrammarMatcher(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mlxd
