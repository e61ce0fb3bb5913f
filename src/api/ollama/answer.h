// Answers of /api/chat and /api/generate: one object, or lines of newline-delimited JSON, the last of which
// is done and has the counts and times.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "api/answer_encoder.h"
#include "api/ollama/timestamp.h"
#include "base/clock.h"

namespace mlxd::api::ollama {

class OllamaAnswerEncoder : public AnswerEncoder {
 public:
  enum class Kind { kChat, kGenerate };
  struct Options {
    AnswerInfo info;
    Kind kind = Kind::kChat;
    bool unload = false;  // of a call that only loads: it lets go
    const Clock* clock = &Clock::real();
    std::function<WallTime()> wall = [] { return std::chrono::system_clock::now(); };
  };
  explicit OllamaAnswerEncoder(Options options);

  std::string whole(std::span<const Choice> choices, const Usage& usage) override;
  std::string_view stream_content_type() const override { return "application/x-ndjson"; }
  bool takes_comments() const override { return false; }
  void begin(std::string&) override {}
  void event(std::string& out, std::int32_t choice, const TextEvent& event, const Usage& so_far) override;
  void end(std::string& out, const Usage& usage) override;
  void fail(std::string& out, const Error& error) override;

 private:
  /// What an object says of the answer itself.
  struct Said {
    std::string content, thinking;
    std::string calls;  // members of a list
    bool empty() const { return content.empty() && thinking.empty() && calls.empty(); }
  };
  void add_piece(Said& said, const AnswerPiece& piece);
  void append_head(std::string& out, const Said& said) const;
  void append_end(std::string& out, FinishReason finish, const Usage& usage) const;

  Options options_;
  FinishReason finish_ = FinishReason::kStop;  // of a stream
  std::int32_t num_calls_ = 0;
  std::string call_id_, call_name_, call_arguments_;  // of the call that is being written
};

}  // namespace mlxd::api::ollama
