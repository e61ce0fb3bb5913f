// Makes valid UTF-8 of a byte stream that comes in pieces: every maximal invalid part becomes one U+FFFD, as
// the Unicode Standard (section 3.9, "U+FFFD substitution of maximal subparts") and Rust's from_utf8_lossy
// have it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mlxd {

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

class LossyUtf8 {
 public:
  /// Appends to `out` every character that `bytes` complete; at most three bytes stay behind.
  void push(std::string_view bytes, std::string& out);
  /// An incomplete character at the end becomes U+FFFD.
  void finish(std::string& out);

 private:
  void push_byte(std::uint8_t byte, std::string& out);

  char pending_[4] = {};
  std::uint8_t num_pending_ = 0;
  std::uint8_t num_missing_ = 0;
  // Bounds of the next continuation byte: tighter than 80..BF after E0, ED, F0 and F4.
  std::uint8_t lowest_ = 0x80;
  std::uint8_t highest_ = 0xBF;
};

/// Whether `text` is valid UTF-8.
bool is_valid_utf8(std::string_view text);

}  // namespace mlxd
