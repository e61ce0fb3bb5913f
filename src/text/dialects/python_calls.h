// Calls written as Python: name(key="value", other=[1, None]).
#pragma once

#include "text/dialects/output_reader.h"

namespace mlxd::dialects {

/// One call with keyword arguments whose values are literals. `known_only`: a name that is no declared tool's
/// makes it no call.
Task python_call(OutputReader& reader, bool known_only = false);
/// Calls in a list, or separated by line breaks, then `closer`, which may be missing.
Task python_calls(OutputReader& reader, std::string_view closer, bool known_only = false);

}  // namespace mlxd::dialects
