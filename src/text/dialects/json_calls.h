// Calls written as JSON objects, as most dialects have them: {"name": …, "arguments": {…}}.
#pragma once

#include <string_view>

#include "text/dialects/output_reader.h"

namespace mlxd::dialects {

struct JsonCallOptions {
  bool keep_ids = true;     // the object's own "id" names the call
  bool known_only = false;  // a name that is no declared tool's makes it no call
};

/// One object with "name" (or "tool_name"), "arguments" (or "parameters") and maybe "id"; other keys are
/// passed over. Arguments may be an object or a string of one, and come before the name.
Task json_call(OutputReader& reader, JsonCallOptions options = {});
/// A list of such objects, or one or more in a row, then `closer`, which may be missing.
Task json_calls(OutputReader& reader, std::string_view closer, JsonCallOptions options = {});
/// A call's arguments alone: an object, or at once the next mark for none. Completes the call.
Task json_arguments_of(OutputReader& reader, std::string_view name, std::string_view id = {});

}  // namespace mlxd::dialects
