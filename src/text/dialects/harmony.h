// gpt-oss's whole answer: messages in channels (OpenAI, "Harmony response format"). What is in the analysis
// channel is reasoning, calls are messages to functions.NAME, all else is content.
#pragma once

#include "text/dialects/output_reader.h"

namespace mlxd::dialects {

/// `in_reasoning` tells all the while whether the text is reasoning.
Task read_harmony(OutputReader& reader, bool& in_reasoning);

}  // namespace mlxd::dialects
