// Turns one request's tokens into text as they come. The concatenation of all pieces equals Tokenizer::decode
// of the whole; a piece never ends inside a UTF-8 character; linear time; cheap to make. One per request, one
// owner.
#pragma once

#include <string>

#include "generation/token.h"
#include "text/tokenizer.h"

namespace mlxd {

class Detokenizer {
 public:
  /// `tokenizer` must outlive this. Special tokens give no text if `skip_special_tokens`.
  Detokenizer(const Tokenizer& tokenizer, bool skip_special_tokens);
  ~Detokenizer();
  Detokenizer(Detokenizer&&) noexcept;
  Detokenizer& operator=(Detokenizer&&) noexcept;

  /// The text that `token` completes; may be empty.
  std::string push(TokenId token);
  /// What is held back at the end; an incomplete character becomes U+FFFD, as decode does.
  std::string finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mlxd
