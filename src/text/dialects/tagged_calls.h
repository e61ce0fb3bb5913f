// Calls written as tags around bare values, as qwen3-coder and minimax have them.
#pragma once

#include <string_view>

#include "text/dialects/output_reader.h"

namespace mlxd::dialects {

struct TaggedSyntax {
  std::string_view call_open;        // before the name: "<function="
  std::string_view name_end;         // after it: ">"
  std::string_view parameter_open;   // "<parameter="
  std::string_view key_end;          // ">", or "\"" if attributes follow up to ">"
  std::string_view parameter_close;  // "</parameter>"
  std::string_view call_close;       // "</function>"
  std::string_view section_close;    // "</tool_call>"
  bool has_attributes = false;       // string="true" or string="false" says how the value is written
};

/// Calls in a row, `call_open` already taken of the first if `opened`, then the section's end, which may be
/// missing. Values are typed by the tool's schema; one line break at either end of a value is layout.
Task tagged_calls(OutputReader& reader, const TaggedSyntax& syntax, bool opened = false);

struct PairSyntax {
  std::string_view key_open, key_close, value_open, value_close, section_close;
};
/// A name, then keys and values in tags, then the section's end: glm 4.5 and its kin.
Task paired_call(OutputReader& reader, const PairSyntax& syntax);

}  // namespace mlxd::dialects
