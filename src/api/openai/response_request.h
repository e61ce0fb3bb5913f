// POST /v1/responses: JSON → GenerationCall, whose details are ResponseDetails. Pure.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <span>
#include <string_view>

#include "api/field_reader.h"
#include "api/generation_call.h"
#include "api/openai/request_fields.h"
#include "api/openai/response_details.h"
#include "api/openai/response_tools.h"
#include "base/result.h"

namespace mlxd::api::openai {

/// What the fields say, before they are held against each other.
struct ResponseDraft : RequestDraft {
  std::shared_ptr<ResponseDetails> own = std::make_shared<ResponseDetails>();
  ResponseTools tools;
  const boost::json::value* tool_choice = nullptr;
};

/// `strict`: keys inside items that nothing reads are refused too. Errors name the field.
Result<GenerationCall> decode_response_request(std::string_view body, bool strict,
                                               UnknownFields unknown = UnknownFields::kRefuse);

/// The call's messages anew, from what came before the request (`history`) and its own items, in which
/// references have become what they name. Errors name the field.
Result<void> set_items(GenerationCall& call, const boost::json::array& history,
                       const boost::json::array& input);

/// All fields of the request and how each is used.
std::span<const Field<ResponseDraft>> response_fields();

}  // namespace mlxd::api::openai
