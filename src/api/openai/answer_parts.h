// Pieces that chat and text completions' answers share. Pure.
#pragma once

#include <string>
#include <string_view>

#include "api/answer_encoder.h"

namespace mlxd::api::openai {

/// {"id":"chatcmpl-…","object":…,"created":…,"model":…,"system_fingerprint":… without the closing brace.
std::string answer_head(const AnswerInfo& info, std::string_view id_prefix, std::string_view object);

/// The object of "usage".
void append_usage(std::string& out, const Usage& usage);

/// ,"mlxd":{"cache":…} if the usage explains the cache: an object, or a list of one for each prompt if there
/// are several.
void append_cache(std::string& out, const Usage& usage);

/// A token's name in log-probabilities: its text, or its bytes as \xNN where they are no whole characters.
std::string token_name(std::string_view bytes);

/// {"token":…,"logprob":…,"bytes":[…],"top_logprobs":[…]}
void append_token_logprob(std::string& out, const TokenText& token);

/// data: {"error": …}
void append_error_event(std::string& out, const Error& error);

}  // namespace mlxd::api::openai
