#include "text/grammar_matcher.h"

#include "text/textkit_call.h"
#include "text/tokenizer_impl.h"

namespace mlxd {

using textkit::OwnedText;
using textkit::to_error;
using textkit::view_of;

struct GrammarEnvironment::Impl {
  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { textkit_grammar_environment_free(handle); }

  TextkitGrammarEnvironment* handle = nullptr;
  std::int32_t vocab_size = 0;
};

struct GrammarMatcher::Impl {
  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { textkit_grammar_matcher_free(handle); }

  TextkitGrammarMatcher* handle = nullptr;
};

namespace {

std::string_view name_of(GrammarKind kind) {
  switch (kind) {
    case GrammarKind::kJsonSchema:
      return "json_schema";
    case GrammarKind::kRegex:
      return "regex";
    case GrammarKind::kLark:
      return "lark";
  }
  return {};
}

}  // namespace

GrammarEnvironment::GrammarEnvironment(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GrammarEnvironment::GrammarEnvironment(GrammarEnvironment&&) noexcept = default;
GrammarEnvironment& GrammarEnvironment::operator=(GrammarEnvironment&&) noexcept = default;
GrammarEnvironment::~GrammarEnvironment() = default;

Result<GrammarEnvironment> GrammarEnvironment::create(const Tokenizer& tokenizer, std::int32_t vocab_size,
                                                      std::span<const TokenId> end_tokens) {
  auto impl = std::make_unique<Impl>();
  impl->vocab_size = vocab_size;
  OwnedText message;
  // Same width; a negative id is out of every vocabulary and refused as such.
  const TextkitStatus status =
      textkit_grammar_environment_new(tokenizer.impl_->handle, static_cast<std::uint32_t>(vocab_size),
                                      reinterpret_cast<const std::uint32_t*>(end_tokens.data()),
                                      end_tokens.size(), &impl->handle, message.out());
  if (status != TEXTKIT_OK) return to_error(status, message);
  return GrammarEnvironment(std::move(impl));
}

Result<GrammarMatcher> GrammarEnvironment::compile(GrammarKind kind, std::string_view source) const {
  auto matcher = std::make_unique<GrammarMatcher::Impl>();
  OwnedText message;
  const TextkitStatus status = textkit_grammar_matcher_new(impl_->handle, view_of(name_of(kind)),
                                                           view_of(source), &matcher->handle, message.out());
  if (status != TEXTKIT_OK) return to_error(status, message);
  return GrammarMatcher(std::move(matcher));
}

std::int32_t GrammarEnvironment::vocab_size() const { return impl_->vocab_size; }

GrammarMatcher::GrammarMatcher(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GrammarMatcher::GrammarMatcher(GrammarMatcher&&) noexcept = default;
GrammarMatcher& GrammarMatcher::operator=(GrammarMatcher&&) noexcept = default;
GrammarMatcher::~GrammarMatcher() = default;

Result<GrammarMatcher> GrammarMatcher::copy() const {
  auto copied = std::make_unique<Impl>();
  OwnedText message;
  const TextkitStatus status = textkit_grammar_matcher_copy(impl_->handle, &copied->handle, message.out());
  if (status != TEXTKIT_OK) return to_error(status, message);
  return GrammarMatcher(std::move(copied));
}

Result<GrammarMatcher> GrammarMatcher::fork() const {
  auto forked = std::make_unique<Impl>();
  OwnedText message;
  const TextkitStatus status = textkit_grammar_matcher_fork(impl_->handle, &forked->handle, message.out());
  if (status != TEXTKIT_OK) return to_error(status, message);
  return GrammarMatcher(std::move(forked));
}

std::int32_t GrammarMatcher::num_allowed(std::span<const TokenId> tokens) {
  std::size_t count = 0;
  OwnedText message;
  // Same width; a negative id is out of every vocabulary.
  const TextkitStatus status =
      textkit_grammar_matcher_allowed(impl_->handle, reinterpret_cast<const std::uint32_t*>(tokens.data()),
                                      tokens.size(), &count, message.out());
  return status == TEXTKIT_OK ? static_cast<std::int32_t>(count) : 0;
}

std::string GrammarMatcher::forced_bytes() {
  OwnedText bytes;
  OwnedText message;
  const TextkitStatus status = textkit_grammar_matcher_forced(impl_->handle, bytes.out(), message.out());
  return status == TEXTKIT_OK ? std::string(bytes.view()) : std::string();
}

Result<void> GrammarMatcher::compute_mask(std::span<std::uint32_t> words) {
  OwnedText message;
  const TextkitStatus status =
      textkit_grammar_matcher_mask(impl_->handle, words.data(), words.size(), message.out());
  if (status != TEXTKIT_OK) return to_error(status, message);
  return {};
}

Result<void> GrammarMatcher::accept(TokenId token) {
  OwnedText message;
  const TextkitStatus status =
      textkit_grammar_matcher_accept(impl_->handle, static_cast<std::uint32_t>(token), message.out());
  if (status != TEXTKIT_OK) return to_error(status, message);
  return {};
}

Result<bool> GrammarMatcher::is_accepting() {
  int accepting = 0;
  int stopped = 0;
  OwnedText message;
  const TextkitStatus status =
      textkit_grammar_matcher_state(impl_->handle, &accepting, &stopped, message.out());
  if (status != TEXTKIT_OK) return to_error(status, message);
  return accepting != 0;
}

Result<bool> GrammarMatcher::is_stopped() {
  int accepting = 0;
  int stopped = 0;
  OwnedText message;
  const TextkitStatus status =
      textkit_grammar_matcher_state(impl_->handle, &accepting, &stopped, message.out());
  if (status != TEXTKIT_OK) return to_error(status, message);
  return stopped != 0;
}

}  // namespace mlxd
