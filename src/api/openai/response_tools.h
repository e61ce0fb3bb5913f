// The tools of a request for a response, and which of them may or must be called. Pure.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "generation/conversation.h"

namespace mlxd::api::openai {

struct ResponseTools {
  std::vector<Tool> tools;              // functions, and tools that take text, as functions of one argument
  std::vector<std::string> text_tools;  // names of the latter
  /// Tools that take text of a grammar. `by_regex`: it can be held to it where the call is forced.
  struct Formed {
    std::string name;
    std::string field;
    bool by_regex = false;
  };
  std::vector<Formed> formed;
  std::vector<std::string> missing;  // types of built-in tools that this program lacks
  boost::json::array honoured;       // as the request has them
  std::vector<std::string> ignored;  // fields
};

/// Errors name the field: kInvalidArgument.
Result<ResponseTools> read_response_tools(const boost::json::value& tools);

/// What a request's `tool_choice` (or null) makes of the tools: leaves in `conversation` those that may be
/// called. Errors: kInvalidArgument (a tool that is none, or is missing), kUnsupported (a tool whose grammar
/// cannot be held to).
Result<void> choose_tools(const boost::json::value* choice, ResponseTools& tools, Conversation& conversation);

}  // namespace mlxd::api::openai
