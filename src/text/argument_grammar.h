// How the arguments of a call are written in each dialect, as rules of a Lark grammar. Pure.
#pragma once

#include <string>

#include "base/result.h"
#include "generation/conversation.h"
#include "text/dialects/tool_dialect.h"
#include "text/tokenizer.h"

namespace mlxd {

/// Rules for the arguments of `tool`, of which the first has the name `rule`. `exact`: they keep to all that
/// the tool's schema says; else to names and types. Errors: kUnsupported, naming the parameter, for what the
/// dialect cannot keep to; kInvalidArgument (no schema).
Result<std::string> argument_rules(const dialects::CallFrame& frame, const Tool& tool,
                                   const std::string& rule, bool exact, const Tokenizer& tokenizer);

}  // namespace mlxd
