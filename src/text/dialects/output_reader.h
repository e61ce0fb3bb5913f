// What dialects are written with: reading the model's text piece by piece, and saying what it means. One
// owner; see parse_task.h.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "generation/text_event.h"
#include "text/dialects/parse_task.h"
#include "text/dialects/tool_schemas.h"

namespace mlxd::dialects {

class OutputReader {
 public:
  /// Strings that may come; they and their list outlive the task that looks for them.
  using Words = std::span<const std::string_view>;

  /// What becomes of text that is read.
  enum class Channel : std::uint8_t {
    kContent,
    kReasoning,
    kArguments,   // JSON of the call's arguments, as it stands
    kJsonString,  // the same, but text of a string: gets escaped
    kKept,        // goes to `into`
  };

  /// `schemas` outlives this.
  explicit OutputReader(const ToolSchemas& schemas) : schemas_(schemas) {}

  TextSource& source() { return source_; }
  const ToolSchemas& schemas() const { return schemas_; }
  /// What was said since the last time.
  std::vector<AnswerPiece> take_pieces() { return std::exchange(pieces_, {}); }

  // Reading. Each task is false where the text is not what it reads.

  Task literal(std::string_view text);
  /// Takes the longest of `words` that comes next; -1 and true if none does.
  Task one_of(Words words, int& which);
  Task skip_space();
  /// The next byte, not taken; false at the end of the text.
  Task peek(char& c);
  /// Takes text up to the first of `ends`, and that too; false if none comes, with all text taken. What may
  /// begin one of them is held back, nothing else.
  Task text_until(Words ends, int& which, Channel channel, std::string* into = nullptr);
  /// A JSON value.
  Task json_value(Channel channel, std::string* into = nullptr);
  /// A JSON string, decoded.
  Task json_string(std::string& into);

  // Saying.

  void say(Channel channel, std::string_view text, std::string* into = nullptr);
  void begin_call(std::string_view name, std::string_view id = {});
  void arguments(std::string_view json) { say(Channel::kArguments, json); }
  /// The call is complete: whatever is wrong later does not touch it.
  void end_call();
  /// From here on text is kept, until the call is complete or abandoned; `before` counts as kept, too.
  void keep(std::string_view before = {}) {
    kept_before_ = before;
    recognized_ = false;
    source_.keep();
  }
  /// Between them calls are read, whose marks are no text.
  void enter_calls() { in_calls_ = true; }
  void leave_calls() { in_calls_ = false; }
  bool in_calls() const { return in_calls_; }
  bool call_open() const { return call_open_; }
  /// What has been kept can only be a call: it names a tool.
  void recognize_call() { recognized_ = true; }
  bool recognized() const { return recognized_; }
  /// The answer's length ends the text, not the model: a call that the end breaks off is one.
  void cut_off() { cut_off_ = true; }
  /// What was kept is no call: it is text.
  void abandon();
  /// The same for what has begun as a call by its mark, unless its end was cut off: then it is no text, and a
  /// call if its name was there.
  void give_up();
  void let_go() { source_.let_go(); }
  /// Calls that were completed.
  std::int32_t num_complete_calls() const { return num_complete_calls_; }
  /// Text that has come, and of which nothing has been said yet.
  std::size_t held_bytes() const { return source_.rest().size() + source_.kept_bytes(); }

 private:
  const ToolSchemas& schemas_;
  TextSource source_;
  std::vector<AnswerPiece> pieces_;
  std::string kept_before_;
  std::int32_t num_calls_ = 0;
  std::int32_t num_complete_calls_ = 0;
  bool call_open_ = false;
  bool in_calls_ = false;
  bool cut_off_ = false;
  bool recognized_ = false;
};

/// How much of the end of `text` may be the beginning of one of `words`.
std::size_t partial_suffix(std::string_view text, OutputReader::Words words);

}  // namespace mlxd::dialects
