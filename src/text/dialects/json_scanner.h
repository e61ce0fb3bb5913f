// Follows one JSON value byte by byte (RFC 8259). One owner.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mlxd::dialects {

class JsonScanner {
 public:
  static constexpr std::size_t kMaxDepth = 200;

  enum class Step {
    kTaken,  // the byte belongs to the value
    kEnded,  // the value, a number or a word, had ended before it
    kWrong,  // no JSON
  };
  /// Appends what the byte is to `out`; control characters inside strings, which models write though JSON
  /// forbids them, as escapes.
  Step step(char c, std::string& out);
  /// The value is complete: step would only say kEnded.
  bool complete() const { return state_ == State::kDone; }
  /// A number or a word that ends with the text.
  bool complete_at_end() const;

 private:
  enum class State {
    kValue,
    kFirstItem,
    kFirstKey,
    kKey,
    kColon,
    kNext,
    kString,
    kEscape,
    kHex,
    kWord,
    kDone
  };

  Step begin_value(char c, std::string& out);
  void end_value();
  bool word_is_value() const;

  State state_ = State::kValue;
  bool string_is_key_ = false;
  int hex_left_ = 0;
  std::string word_;        // number, true, false, null
  std::vector<char> open_;  // '{' or '['
};

bool is_json(std::string_view text);
bool is_json_object(std::string_view text);
void append_quoted(std::string& out, std::string_view text);   // a JSON string
void append_escaped(std::string& out, std::string_view text);  // a part of one, without its quotes

}  // namespace mlxd::dialects
