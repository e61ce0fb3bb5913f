// A model's grammars: makes what they share when the first one is asked for. Thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
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

  /// Errors as GrammarEnvironment::create and compile.
  Result<GrammarMatcher> compile(GrammarKind kind, std::string_view source) EXCLUDES(mutex_);

 private:
  const Tokenizer& tokenizer_;
  const std::int32_t vocab_size_;
  const std::vector<TokenId> end_tokens_;
  Mutex mutex_;
  std::optional<GrammarEnvironment> environment_ GUARDED_BY(mutex_);  // never changes once it is made
};

}  // namespace mlxd
