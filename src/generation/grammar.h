// What an answer's text has to match. Values.
#pragma once

#include <cstdint>
#include <string>

namespace mlxd {

/// Regular expressions as Rust's regex crate writes them, matching the whole text; Lark as llguidance reads
/// it.
enum class GrammarKind : std::uint8_t { kJsonSchema, kRegex, kLark };

struct Grammar {
  GrammarKind kind = GrammarKind::kJsonSchema;
  std::string source;

  bool operator==(const Grammar&) const = default;
};

}  // namespace mlxd
