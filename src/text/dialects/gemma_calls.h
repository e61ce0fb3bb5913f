// Calls as Gemma's later models write them: call:NAME{key:<quote>text<quote>,other:[1,true]}.
#pragma once

#include <string_view>

#include "text/dialects/output_reader.h"

namespace mlxd::dialects {

/// Calls in a row, each after an opener of its own (the first has been taken), then `closer`, which may be
/// missing.
Task gemma_call(OutputReader& reader, std::string_view quote, std::string_view closer);

}  // namespace mlxd::dialects
