// Lines from the terminal with editing and history (libedit). Lines pasted together arrive as one. History
// lives in a file of its owner's only, appended to line by line so that two programs can share it. One owner,
// main thread.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/result.h"

namespace mlxd::cli {

class LineEditor {
 public:
  /// `history_file` is made at the first `remember` if absent; empty: no history is kept beyond this object.
  static Result<std::unique_ptr<LineEditor>> create(std::filesystem::path history_file);
  ~LineEditor();

  enum class Outcome {
    kLine,
    kInterrupted,  // Ctrl-C: what was typed is dropped
    kEnd,          // Ctrl-D on an empty line, or the terminal is gone
  };
  struct Line {
    Outcome outcome = Outcome::kEnd;
    std::string text;  // without the newline; of an interrupted line what was dropped
  };
  /// Shows `prompt` and waits for a line.
  Line read(const std::string& prompt);

  /// Puts a text, of one line or several, at the end of the history, unless it is there already. Failing to
  /// write the file is not an error of the conversation: it is kept in memory all the same.
  void remember(const std::string& text);

 private:
  struct Impl;
  explicit LineEditor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// One entry as a line of the history file: newlines and backslashes are escaped. And back.
std::string encode_history_entry(const std::string& text);
std::string decode_history_entry(const std::string& line);

}  // namespace mlxd::cli
