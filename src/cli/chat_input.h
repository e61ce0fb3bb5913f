// What a person typed in the terminal chat: a message, or a command that begins with "/". Pure values.
#pragma once

#include <string>
#include <string_view>

namespace mlxd::cli {

enum class ChatInputKind { kNothing, kMessage, kHelp, kSet, kShow, kClear, kBye, kUnknown };

struct ChatInput {
  ChatInputKind kind = ChatInputKind::kNothing;
  std::string name;  // kSet: the setting, empty if none; kUnknown: the command
  std::string text;  // kMessage: the message; kSet: the value, one pair of surrounding quotes removed
};

/// Commands are recognised at the very beginning only; letter case of a command does not matter.
ChatInput parse_chat_input(std::string_view text);

/// Joins lines between """ marks to one text. One owner.
class LineCollector {
 public:
  /// Adds a line; true once the text is complete: take it. A block begins where a message, or the value of a
  /// /set, begins with """ and lasts to a line that ends with """.
  bool add(std::string_view line);
  /// Whether a block is open: ask for more lines.
  bool is_open() const { return is_open_; }
  std::string take();
  void clear();

 private:
  std::string text_;
  bool is_open_ = false;
};

}  // namespace mlxd::cli
