#include "text/grammar_library.h"

#include <utility>

#include "text/schema_space.h"

namespace mlxd {

GrammarLibrary::GrammarLibrary(const Tokenizer& tokenizer, std::int32_t vocab_size,
                               std::vector<TokenId> end_tokens)
    : tokenizer_(tokenizer), vocab_size_(vocab_size), end_tokens_(std::move(end_tokens)) {}

Result<GrammarMatcher> GrammarLibrary::compile(GrammarKind kind, std::string_view source) {
  const GrammarEnvironment* environment = nullptr;
  {
    const MutexLock lock(mutex_);
    if (!environment_)
      environment_.emplace(TRY(GrammarEnvironment::create(tokenizer_, vocab_size_, end_tokens_)));
    environment = &*environment_;
  }
  if (kind == GrammarKind::kJsonSchema) return environment->compile(kind, with_bounded_space(source));
  return environment->compile(kind, source);
}

}  // namespace mlxd
