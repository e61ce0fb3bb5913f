#include "text/grammar_library.h"

#include <algorithm>
#include <utility>

#include "text/schema_space.h"

namespace mlxd {

GrammarLibrary::GrammarLibrary(const Tokenizer& tokenizer, std::int32_t vocab_size,
                               std::vector<TokenId> end_tokens)
    : tokenizer_(tokenizer), vocab_size_(vocab_size), end_tokens_(std::move(end_tokens)) {}

Result<GrammarMatcher> GrammarLibrary::compile(const Grammar& grammar) {
  const GrammarEnvironment* environment = nullptr;
  {
    const MutexLock lock(mutex_);
    if (!environment_)
      environment_.emplace(TRY(GrammarEnvironment::create(tokenizer_, vocab_size_, end_tokens_)));
    environment = &*environment_;
    const auto found = std::find_if(kept_.begin(), kept_.end(),
                                    [&grammar](const Kept& kept) { return kept.grammar == grammar; });
    if (found != kept_.end()) {
      kept_.splice(kept_.begin(), kept_, found);
      return found->matcher->copy();
    }
  }
  // Compiled without the lock, as it may take its time.
  auto made = std::make_shared<const GrammarMatcher>(TRY(environment->compile(
      grammar.kind,
      grammar.kind == GrammarKind::kJsonSchema ? with_bounded_space(grammar.source) : grammar.source)));
  GrammarMatcher matcher = TRY(made->copy());
  if (grammar.source.size() > kMaxKeptBytes) return matcher;
  const MutexLock lock(mutex_);
  kept_.push_front({grammar, std::move(made)});
  kept_bytes_ += grammar.source.size();
  while (kept_.size() > kMaxKept || kept_bytes_ > kMaxKeptBytes) {
    kept_bytes_ -= kept_.back().grammar.source.size();
    kept_.pop_back();
  }
  return matcher;
}

}  // namespace mlxd
