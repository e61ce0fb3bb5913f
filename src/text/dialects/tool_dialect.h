// How a model writes tool calls: one constant for each dialect, in a file of its own or its kin's.
// docs/text.md lists who speaks which.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "text/dialects/output_reader.h"

namespace mlxd::dialects {

/// How the arguments of a call are written.
enum class ArgumentSyntax : std::uint8_t {
  kJson,      // one object
  kTags,      // each between tags, text as it stands
  kKeywords,  // key=value, as Python has them
  kGemma,     // key:value, text between quotes of its own
};

/// How calls are written where a grammar holds the model to them.
struct CallFrame {
  std::string_view section_open{};    // before the first call
  std::string_view call_open{};       // before a name
  bool numbers_calls = false;         // a colon and a number follow the name
  std::string_view arguments_open{};  // between name and arguments; empty: calls cannot be held to anything
  std::string_view call_close{};
  std::string_view separator{};
  std::string_view section_close{};
  bool one_only = false;  // an answer has one call at the most

  ArgumentSyntax arguments = ArgumentSyntax::kJson;
  std::string_view argument_separator{};  // empty: none
  // kTags: KEY_OPEN key KEY_CLOSE value VALUE_CLOSE AFTER_VALUE.
  std::string_view key_open{};
  std::string_view key_close{};
  std::string_view bare_key_close{};  // where the value is no text; empty: as key_close
  std::string_view value_close{};
  /// Where the value is JSON or one of a list, which a line break may end; empty: as value_close.
  std::string_view bare_value_close{};
  std::string_view after_value{};
  std::string_view quote{};  // kGemma: around text

  bool separates_arguments() const { return !argument_separator.empty(); }
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
  /// What an unmarked call begins with; text that a grammar allows beside strict calls does not.
  std::string_view unmarked_begin{};
  bool unmarked_names = false;  // it begins with a tool's name and a line break
  CallFrame frame{};
};

}  // namespace mlxd::dialects
