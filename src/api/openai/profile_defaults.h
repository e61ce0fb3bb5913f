// A profile's defaults as OpenAI's requests write them: what may stand in a profile, and how a request gets
// what it does not say itself. Pure functions.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/field_shape.h"
#include "base/result.h"

namespace mlxd::api::openai {

std::vector<FieldInfo> profile_default_infos();

/// Checks a profile's defaults: "system" (text), "template" (an object of the template's switches),
/// "context_tokens" and the sampling fields of a request by their names there. Errors name the field.
Result<void> check_profile_defaults(const boost::json::object& defaults);

enum class ProfileUse { kChat, kCompletion, kResponse };

/// `body` with the defaults that it leaves open. A system prompt is put first if no message
/// is a system's or developer's, in a response as its instructions. A body that is no JSON object comes back
/// as it is: its decoder says what is wrong.
std::string with_profile_defaults(std::string_view body, const std::string& defaults_json, ProfileUse use);

/// The "model" of a body, or empty.
std::string peek_model(std::string_view body);

/// "context_tokens" of the defaults, or 0.
std::int32_t profile_context_tokens(const std::string& defaults_json);

}  // namespace mlxd::api::openai
