// RAII and Result around the C ABI of rust/textkit. Only this module's sources include it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/result.h"
#include "textkit.h"

namespace mlxd::textkit {

/// Bytes that the library filled, freed with it.
class OwnedText {
 public:
  OwnedText() = default;
  OwnedText(const OwnedText&) = delete;
  OwnedText& operator=(const OwnedText&) = delete;
  ~OwnedText() { textkit_text_free(&text_); }

  TextkitText* out() { return &text_; }
  std::string_view view() const { return {text_.data, text_.size}; }

 private:
  TextkitText text_{nullptr, 0, 0};
};

inline TextkitView view_of(std::string_view text) { return {text.data(), text.size()}; }

inline Error to_error(TextkitStatus status, const OwnedText& message) {
  ErrorKind kind = ErrorKind::kInternal;
  switch (status) {
    case TEXTKIT_INVALID:
      kind = ErrorKind::kInvalidArgument;
      break;
    case TEXTKIT_CORRUPT:
      kind = ErrorKind::kCorruptData;
      break;
    case TEXTKIT_UNSUPPORTED:
      kind = ErrorKind::kUnsupported;
      break;
    case TEXTKIT_TOO_LARGE:
      kind = ErrorKind::kTooLarge;
      break;
    case TEXTKIT_INTERNAL:
    case TEXTKIT_OK:
      break;
  }
  return {kind, std::string(message.view())};
}

/// Calls `function(output, error)` and gives the text it fills.
template <typename Function>
Result<std::string> call_for_text(Function&& function) {
  OwnedText output;
  OwnedText message;
  const TextkitStatus status = function(output.out(), message.out());
  if (status != TEXTKIT_OK) return to_error(status, message);
  return std::string(output.view());
}

}  // namespace mlxd::textkit
