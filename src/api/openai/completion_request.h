// POST /v1/completions: JSON → GenerationCall. Pure.
#pragma once

#include <span>
#include <string_view>

#include "api/field_reader.h"
#include "api/generation_call.h"
#include "api/openai/request_fields.h"
#include "base/result.h"

namespace mlxd::api::openai {

inline constexpr std::size_t kMaxPrompts = 64;
inline constexpr std::int32_t kDefaultCompletionTokens = 16;

/// Errors name the field.
Result<GenerationCall> decode_completion_request(std::string_view body,
                                                 UnknownFields unknown = UnknownFields::kRefuse);

/// All fields of the request and how each is used.
std::span<const Field<RequestDraft>> completion_fields();

}  // namespace mlxd::api::openai
