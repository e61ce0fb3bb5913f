// A model's tokenizer (Hugging Face tokenizer.json), through rust/textkit. Immutable after opening and safe
// to use from several threads at once.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "generation/token.h"

namespace mlxd {

class Tokenizer {
 public:
  /// Reads FOLDER/tokenizer.json. Errors name the file: kNotFound, kIo, kCorruptData, kTooLarge.
  static Result<Tokenizer> open(const std::filesystem::path& folder);
  /// From the file's content.
  static Result<Tokenizer> parse(std::string_view tokenizer_json);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// `add_special_tokens`: as the tokenizer's post-processor does (e.g. a BOS). Special tokens' text in
  /// `text` is recognised either way. Invalid UTF-8 is kInvalidArgument.
  Result<std::vector<TokenId>> encode(std::string_view text, bool add_special_tokens) const;
  /// Whole-sequence decoding, as `tokenizers` does it.
  Result<std::string> decode(std::span<const TokenId> tokens, bool skip_special_tokens) const;

  std::int32_t vocab_size() const;  // largest id + 1, added tokens too
  /// The token as it stands in the vocabulary ("Ġthe"), or empty if there is none.
  std::string token_name(TokenId token) const;
  /// The bytes that the token stands for in running text (may be part of a character); empty for unknown ids.
  std::string token_bytes(TokenId token) const;
  TokenId token_id(std::string_view name) const;  // kNoToken if absent
  bool is_special(TokenId token) const;
  /// Bytes held by the tokenizer's tables: what loading asked of the allocator and did not give back. Its
  /// blocks' overhead and the caches that encoding fills later (10,000 words a thread) are not in it.
  std::size_t memory_bytes() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  friend class Detokenizer;
  friend class GrammarEnvironment;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mlxd
