// POST /api/chat and /api/generate: JSON → GenerationCall. Pure.
#pragma once

#include <span>
#include <string_view>

#include "api/field_reader.h"
#include "api/generation_call.h"
#include "api/ollama/request_fields.h"
#include "base/result.h"

namespace mlxd::api::ollama {

/// `strict`: options and keys inside messages that nothing reads are refused. Errors name the field.
Result<GenerationCall> decode_chat_request(std::string_view body, bool strict,
                                           UnknownFields unknown = UnknownFields::kRefuse);
Result<GenerationCall> decode_generate_request(std::string_view body, bool strict,
                                               UnknownFields unknown = UnknownFields::kRefuse);

/// All fields of the requests and how each is used.
std::span<const Field<RequestDraft>> chat_fields();
std::span<const Field<RequestDraft>> generate_fields();

/// `messages`: as OpenAI's, but with thinking, tool_name and images.
Result<std::vector<Message>> read_messages(boost::json::value messages, bool strict);

}  // namespace mlxd::api::ollama
