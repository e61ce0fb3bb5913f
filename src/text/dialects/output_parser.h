// From a model's raw text to what it means: content, reasoning and tool calls, piece by piece as it comes.
// Text outside of markers passes byte for byte; only what may yet become a marker is held back. A call that
// breaks its syntax, or that the model breaks off, comes as text: nothing is lost. One for each answer, one
// owner.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "generation/conversation.h"
#include "generation/text_event.h"
#include "text/dialects/tool_dialect.h"

namespace mlxd::dialects {

/// What surrounds reasoning. Line breaks after `open`, around `close` (one before, two after) are layout.
struct ReasoningMarks {
  std::string_view open, close;
  bool operator==(const ReasoningMarks&) const = default;
};

/// How a family's answers are written.
struct OutputFormat {
  ReasoningMarks reasoning{};                  // empty: no markers
  const ToolDialect* tools = nullptr;          // null: no calls
  bool is_harmony = false;                     // channels instead of both
  std::span<const std::string_view> layout{};  // marks around content that mean nothing more
};

class OutputParser {
 public:
  /// What the prompt's end has begun already.
  enum class Start : std::uint8_t {
    kContent,
    kReasoning,          // the opening marker, and what follows is its text
    kReasoningLineBreak  // the opening marker alone; the model itself breaks the line
  };
  /// No tools: nothing is a call.
  OutputParser(const OutputFormat& format, std::span<const Tool> tools, Start start);
  ~OutputParser();
  OutputParser(OutputParser&&) noexcept;
  OutputParser& operator=(OutputParser&&) noexcept;

  std::vector<AnswerPiece> push(std::string_view text);
  /// What was held back. Push no more. `cut_off`: the model did not end the text itself; what its end breaks
  /// off of a call is no text then.
  std::vector<AnswerPiece> finish(bool cut_off = false);

  bool in_reasoning() const;
  /// Whether a special token of this text may mean something now; those that mean nothing are no text.
  bool takes_mark(std::string_view text) const;
  std::int32_t num_complete_calls() const;
  std::size_t held_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mlxd::dialects
