// POST /v1/messages and /v1/messages/count_tokens: JSON → GenerationCall. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/anthropic/request_draft.h"
#include "api/field_reader.h"
#include "api/generation_call.h"
#include "base/result.h"

namespace mlxd::api::anthropic {

enum class Purpose {
  kAnswer,
  kCount,  // max_tokens may be absent
};

/// `strict`: keys inside messages and blocks that nothing reads are refused too. Errors name the field.
Result<GenerationCall> decode_messages_request(std::string_view body, bool strict,
                                               Purpose purpose = Purpose::kAnswer,
                                               UnknownFields unknown = UnknownFields::kRefuse);

/// All fields of the request and how each is used.
std::span<const Field<MessagesDraft>> messages_fields(Purpose purpose);

/// A body with what a profile says where it says nothing itself; temperature as far as this API's range goes.
/// A body that is no JSON object comes back as it is: its decoder says what is wrong.
std::string with_profile_defaults(std::string_view body, const std::string& defaults_json);

}  // namespace mlxd::api::anthropic
