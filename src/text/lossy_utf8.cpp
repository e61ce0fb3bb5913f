#include "text/lossy_utf8.h"

namespace mlxd {

namespace {

std::size_t ascii_run(std::string_view bytes) {
  std::size_t length = 0;
  while (length < bytes.size() && static_cast<std::uint8_t>(bytes[length]) < 0x80) ++length;
  return length;
}

}  // namespace

void LossyUtf8::push(std::string_view bytes, std::string& out) {
  while (!bytes.empty()) {
    if (num_pending_ == 0) {
      const std::size_t run = ascii_run(bytes);
      out.append(bytes.substr(0, run));
      bytes.remove_prefix(run);
      if (bytes.empty()) return;
    }
    push_byte(static_cast<std::uint8_t>(bytes.front()), out);
    bytes.remove_prefix(1);
  }
}

void LossyUtf8::push_byte(std::uint8_t byte, std::string& out) {
  if (num_pending_ > 0) {
    if (byte >= lowest_ && byte <= highest_) {
      pending_[num_pending_++] = static_cast<char>(byte);
      lowest_ = 0x80;
      highest_ = 0xBF;
      if (--num_missing_ == 0) {
        out.append(pending_, num_pending_);
        num_pending_ = 0;
      }
      return;
    }
    // What came so far is a maximal subpart; this byte may begin anew.
    finish(out);
  }
  lowest_ = 0x80;
  highest_ = 0xBF;
  if (byte < 0x80) {
    out.push_back(static_cast<char>(byte));
    return;
  }
  if (byte >= 0xC2 && byte <= 0xDF) {
    num_missing_ = 1;
  } else if (byte >= 0xE0 && byte <= 0xEF) {
    num_missing_ = 2;
    if (byte == 0xE0) lowest_ = 0xA0;   // no overlong forms
    if (byte == 0xED) highest_ = 0x9F;  // no surrogates
  } else if (byte >= 0xF0 && byte <= 0xF4) {
    num_missing_ = 3;
    if (byte == 0xF0) lowest_ = 0x90;
    if (byte == 0xF4) highest_ = 0x8F;  // nothing beyond U+10FFFF
  } else {
    out.append(kReplacementCharacter);
    return;
  }
  pending_[0] = static_cast<char>(byte);
  num_pending_ = 1;
}

void LossyUtf8::finish(std::string& out) {
  if (num_pending_ > 0) out.append(kReplacementCharacter);
  num_pending_ = 0;
}

bool is_valid_utf8(std::string_view text) {
  // Valid text passes unchanged; a replacement always differs from the bytes it stands for.
  std::string repaired;
  repaired.reserve(text.size());
  LossyUtf8 repair;
  repair.push(text, repaired);
  repair.finish(repaired);
  return repaired == text;
}

}  // namespace mlxd
