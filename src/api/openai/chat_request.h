// POST /v1/chat/completions: JSON → GenerationCall. Pure.
#pragma once

#include <span>
#include <string_view>

#include "api/field_reader.h"
#include "api/generation_call.h"
#include "api/openai/request_fields.h"
#include "base/result.h"

namespace mlxd::api::openai {

/// `strict`: keys inside messages that nothing reads are refused too. Errors name the field.
Result<GenerationCall> decode_chat_request(std::string_view body, bool strict);

/// All fields of the request and how each is used.
std::span<const Field<RequestDraft>> chat_fields();

/// Checks `messages` and writes them as chat templates want them: developer becomes system, text parts one
/// string, tool calls' arguments objects. Keys and their order stay.
Result<std::string> normalize_messages(const boost::json::value& messages, bool strict);

/// The texts of a list of content parts, joined. Errors: kInvalidArgument; kUnsupported for parts of another
/// kind than text.
Result<std::string> read_text_parts(const boost::json::array& parts, const std::string& field);

}  // namespace mlxd::api::openai
