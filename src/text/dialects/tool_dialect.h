// How a model writes tool calls: one constant for each dialect, in a file of its own. docs/text.md lists who
// speaks which.
#pragma once

#include <span>
#include <string_view>

#include "text/dialects/output_reader.h"

namespace mlxd::dialects {

/// How calls are written that the model has to make: around the arguments' JSON.
struct CallFrame {
  std::string_view section_open{};    // before the first call
  std::string_view call_open{};       // before a name; empty: calls cannot be forced
  std::string_view arguments_open{};  // between name and arguments
  std::string_view call_close{};
  std::string_view separator{};
  std::string_view section_close{};
};

struct ToolDialect {
  std::string_view name;
  /// What begins calls wherever it comes in the content.
  std::span<const std::string_view> openers;
  /// Reads the calls that follow one of the openers, and what closes them. False: no calls, or no more of
  /// them; what was read since the last complete one is text.
  Task (*read)(OutputReader& reader, int opener) = nullptr;
  /// Reads calls that begin the answer without any opener; null if none do.
  Task (*read_unmarked)(OutputReader& reader) = nullptr;
  /// The dialect's templates write a line break before an opener, which is then a part of it.
  bool opens_on_new_line = false;
  CallFrame frame{};
};

}  // namespace mlxd::dialects
