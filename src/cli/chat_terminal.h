// The interactive chat: prompt, commands, streamed answers, Ctrl-C. One owner, main thread; references
// outlive it.
#pragma once

#include <memory>
#include <string>

#include "cli/chat_input.h"
#include "cli/chat_preferences.h"
#include "cli/console.h"
#include "cli/line_editor.h"
#include "workbench/chat_session.h"

namespace mlxd::cli {

class ChatTerminal {
 public:
  /// `adapter` is one of the model's, or null.
  ChatTerminal(Console& console, const ModelHost& model, AdapterLeasePtr adapter, std::string model_name,
               ChatPreferences preferences, std::unique_ptr<LineEditor> editor);

  /// Until /bye, Ctrl-D or the terminal is gone.
  void run();

 private:
  bool handle(const ChatInput& input);  // false: leave
  void answer(const std::string& message);
  void set(const std::string& name, const std::string& value);
  void show_help();
  void show_state();

  Console& console_;
  const ModelHost& model_;
  std::string model_name_;
  ChatPreferences preferences_;
  std::unique_ptr<LineEditor> editor_;
  ChatSession session_;
};

/// Counts and speed of an answer, one line each, for --verbose.
std::string describe_answer(const ChatSession::Answer& answer, double load_seconds);

}  // namespace mlxd::cli
