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
  static constexpr std::size_t kMaxKeptBytes = 256 * 1024;  // of one source

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
};

}  // namespace mlxd
