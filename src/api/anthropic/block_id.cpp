#include "api/anthropic/block_id.h"

#include <algorithm>
#include <charconv>

namespace mlxd::api::anthropic {
namespace {

constexpr std::string_view kMade = "call_";
constexpr std::string_view kPrefix = "toolu_";
/// Before an id whose other signs are written as - and two hexadecimal digits.
constexpr std::string_view kEscapedPrefix = "toolu_x_";

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

}  // namespace

std::string block_id(std::string_view call_id) {
  if (call_id.starts_with(kMade)) {
    const std::string_view rest = call_id.substr(kMade.size());
    if (std::all_of(rest.begin(), rest.end(), is_word)) return std::string(kPrefix) + std::string(rest);
  }
  const bool is_plain =
      std::all_of(call_id.begin(), call_id.end(), [](char c) { return is_word(c) || c == '-'; });
  if (is_plain && !call_id.empty() && !call_id.starts_with(kEscapedPrefix)) return std::string(call_id);
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string id(kEscapedPrefix);
  for (const char c : call_id) {
    if (is_word(c)) {
      id += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    id += '-';
    id += kDigits[byte >> 4U];
    id += kDigits[byte & 15U];
  }
  return id;
}

std::string call_id_of(std::string_view block_id) {
  if (!block_id.starts_with(kEscapedPrefix)) return std::string(block_id);
  const std::string_view escaped = block_id.substr(kEscapedPrefix.size());
  std::string id;
  for (std::size_t i = 0; i < escaped.size(); ++i) {
    if (escaped[i] != '-') {
      id += escaped[i];
      continue;
    }
    const std::string_view digits = escaped.substr(i + 1, 2);
    unsigned byte = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    // Not one of ours after all.
    if (digits.size() != 2 || error != std::errc() || end != digits.data() + 2) return std::string(block_id);
    id += static_cast<char>(byte);
    i += 2;
  }
  return id;
}

}  // namespace mlxd::api::anthropic
