// tokenizer.json and tokenizer_config.json (Hugging Face) from a GGUF's metadata, such that token ids equal
// those of the tokenizer the file was made from. Byte-level BPE ("gpt2") with a known pre-tokenizer and
// SentencePiece BPE
// ("llama") are understood.
#pragma once

#include <boost/json.hpp>
#include <cstdint>

#include "base/result.h"
#include "model/gguf.h"
#include "workbench/gguf_config.h"

namespace mlxd {

/// Errors: kUnsupported naming the tokenizer model or pre-tokenizer, kCorruptData naming token or merge.
Result<boost::json::object> make_tokenizer(const GgufFile& file, const GgufSpecialTokens& special);

/// With the chat template, where the file has one.
Result<boost::json::object> make_tokenizer_config(const GgufFile& file, const GgufSpecialTokens& special,
                                                  std::int64_t context_tokens);

}  // namespace mlxd
