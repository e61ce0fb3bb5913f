// POST /v1/chat/completions: JSON → GenerationCall. Pure.
#pragma once

#include <boost/json/object.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/field_reader.h"
#include "api/generation_call.h"
#include "api/openai/request_fields.h"
#include "base/result.h"

namespace mlxd::api::openai {

/// `strict`: keys inside messages that nothing reads are refused too. Errors name the field.
Result<GenerationCall> decode_chat_request(std::string_view body, bool strict,
                                           UnknownFields unknown = UnknownFields::kRefuse);
Result<GenerationCall> decode_chat_object(const boost::json::object& object, bool strict,
                                          UnknownFields unknown = UnknownFields::kRefuse);

/// All fields of the request and how each is used.
std::span<const Field<RequestDraft>> chat_fields();

/// Developer becomes system, text parts one string; keys that are not OpenAI's are kept for templates.
Result<std::vector<Message>> read_messages(const boost::json::value& messages, bool strict);
/// `tools`: functions, each with a name of its own.
Result<std::vector<Tool>> read_tools(const boost::json::value& tools);
inline constexpr std::size_t kMaxTools = 1024;
/// A name that a tool may have.
Result<std::string> read_tool_name(const boost::json::value& value, const std::string& field);
/// Errors: too many; a name that an earlier one has.
Result<void> add_tool(std::vector<Tool>& tools, Tool tool, const std::string& name_field);
/// kUnsupported if a schema has options of the grammar compiler.
Result<void> check_schema(const boost::json::object& schema, const std::string& path);

/// The texts of a list of content parts, joined. Errors: kInvalidArgument; kUnsupported for parts of another
/// kind than text.
Result<std::string> read_text_parts(const boost::json::array& parts, const std::string& field);

}  // namespace mlxd::api::openai
