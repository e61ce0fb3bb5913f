// A model's grammars: makes what they share when the first one is asked for. Thread-safe.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "text/grammar_matcher.h"
#include "text/tokenizer.h"

namespace mlxd {

class GrammarLibrary {
 public:
  /// `tokenizer` outlives this.
  GrammarLibrary(const Tokenizer& tokenizer, std::int32_t vocab_size, std::vector<TokenId> end_tokens);

  /// Errors as GrammarEnvironment::create and compile. What was asked for lately is copied.
  Result<GrammarMatcher> compile(const Grammar& grammar) EXCLUDES(mutex_);

 private:
  static constexpr std::size_t kMaxKept = 64;
  /// Of all sources together: compiled, each takes some fifty times as much.
  static constexpr std::size_t kMaxKeptBytes = 256 * 1024;

  struct Kept {
    Grammar grammar;
    std::shared_ptr<const GrammarMatcher> matcher;  // at the beginning
  };

  const Tokenizer& tokenizer_;
  const std::int32_t vocab_size_;
  const std::vector<TokenId> end_tokens_;
  Mutex mutex_;
  std::optional<GrammarEnvironment> environment_ GUARDED_BY(mutex_);  // never changes once it is made
  std::list<Kept> kept_ GUARDED_BY(mutex_);                           // asked for last: first
  std::size_t kept_bytes_ GUARDED_BY(mutex_) = 0;
};

}  // namespace mlxd
