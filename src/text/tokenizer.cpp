#include "text/tokenizer.h"

#include <cstring>
#include <limits>

#include "base/mapped_file.h"
#include "text/textkit_call.h"
#include "text/tokenizer_impl.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace mlxd {

using textkit::OwnedText;
using textkit::to_error;
using textkit::view_of;

namespace {

/// Reading a tokenizer.json leaves several times its size in freed blocks, which glibc would keep.
void return_freed_memory() {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

}  // namespace

Tokenizer::Impl::~Impl() { textkit_tokenizer_free(handle); }

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::open(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "tokenizer.json";
  const MappedFile file = TRY(MappedFile::open(path));
  const auto bytes = file.bytes();
  auto tokenizer = parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (!tokenizer) {
    Error error = tokenizer.take_error();
    error.message = path.string() + ": " + error.message;
    return error;
  }
  return tokenizer;
}

Result<Tokenizer> Tokenizer::parse(std::string_view tokenizer_json) {
  auto impl = std::make_unique<Impl>();
  OwnedText message;
  const TextkitStatus status = textkit_tokenizer_parse(view_of(tokenizer_json), &impl->handle, message.out());
  return_freed_memory();
  if (status != TEXTKIT_OK) return to_error(status, message);
  textkit_tokenizer_table(impl->handle, &impl->table);
  return Tokenizer(std::move(impl));
}

Result<std::vector<TokenId>> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  OwnedText ids;
  OwnedText message;
  const TextkitStatus status = textkit_tokenizer_encode(impl_->handle, view_of(text),
                                                        add_special_tokens ? 1 : 0, ids.out(), message.out());
  if (status != TEXTKIT_OK) return to_error(status, message);
  // Ids are below the vocabulary's size, which fits TokenId by far.
  std::vector<TokenId> tokens(ids.view().size() / sizeof(TokenId));
  if (!tokens.empty()) std::memcpy(tokens.data(), ids.view().data(), tokens.size() * sizeof(TokenId));
  return tokens;
}

Result<std::string> Tokenizer::decode(std::span<const TokenId> tokens, bool skip_special_tokens) const {
  // Same width; a negative id becomes one that no vocabulary has, and gives no text.
  const auto* ids = reinterpret_cast<const std::uint32_t*>(tokens.data());
  return textkit::call_for_text([&](TextkitText* output, TextkitText* error) {
    return textkit_tokenizer_decode(impl_->handle, ids, tokens.size(), skip_special_tokens ? 1 : 0, output,
                                    error);
  });
}

std::int32_t Tokenizer::vocab_size() const { return static_cast<std::int32_t>(impl_->table.vocab_size); }

std::string Tokenizer::token_name(TokenId token) const {
  if (!impl_->has(token)) return {};
  auto name = textkit::call_for_text([&](TextkitText* output, TextkitText* error) {
    return textkit_tokenizer_name(impl_->handle, static_cast<std::uint32_t>(token), output, error);
  });
  return name ? name.take_value() : std::string();
}

std::string Tokenizer::token_bytes(TokenId token) const { return std::string(impl_->piece(token)); }

TokenId Tokenizer::token_id(std::string_view name) const {
  const std::int64_t id = textkit_tokenizer_id(impl_->handle, view_of(name));
  return id >= 0 && id < vocab_size() ? static_cast<TokenId>(id) : kNoToken;
}

bool Tokenizer::is_special(TokenId token) const { return (impl_->flags(token) & TEXTKIT_TOKEN_SPECIAL) != 0; }

std::size_t Tokenizer::memory_bytes() const { return textkit_tokenizer_memory_bytes(impl_->handle); }

}  // namespace mlxd
