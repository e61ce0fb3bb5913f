// POST /v1/tokenize and /v1/detokenize: how a model's tokenizer sees a text or a chat, and the way back.
// Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/field_reader.h"
#include "api/generation_call.h"
#include "base/result.h"
#include "generation/token.h"

namespace mlxd::api::tokens {

/// All fields of requests to tokenize a text or a chat, and of those the other way.
std::vector<FieldInfo> text_infos(), chat_infos(), token_infos();

/// {"model", "text"}, or a chat request; "add_special_tokens" (of a text), "pieces". Errors name the field.
Result<GenerationCall> decode_tokenize_request(std::string_view body, bool strict,
                                               UnknownFields unknown = UnknownFields::kRefuse);
/// {"model", "tokens"}, "skip_special_tokens". The tokens are the call's only prompt.
Result<GenerationCall> decode_detokenize_request(std::string_view body,
                                                 UnknownFields unknown = UnknownFields::kRefuse);

/// {"tokens", "count", "context_length"}, and "pieces" unless they are null: the text of each token.
std::string encode_tokens(std::span<const TokenId> tokens, std::int64_t context_tokens,
                          const std::vector<std::string>* pieces);
/// {"text"}
std::string encode_text(std::string_view text);

}  // namespace mlxd::api::tokens
