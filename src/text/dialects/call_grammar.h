// A grammar (Lark, as llguidance reads it) of an answer that has to call tools. Pure.
#pragma once

#include <span>
#include <string>

#include "base/result.h"
#include "generation/conversation.h"
#include "text/dialects/tool_dialect.h"
#include "text/tokenizer.h"

namespace mlxd::dialects {

/// One call of one of `tools`, or one or more if `several`, with arguments of its schema. `tools` has at
/// least one. Errors: kUnsupported where the dialect has no frame.
Result<std::string> call_grammar(const ToolDialect& dialect, std::span<const Tool> tools, bool several,
                                 const Tokenizer& tokenizer);

}  // namespace mlxd::dialects
