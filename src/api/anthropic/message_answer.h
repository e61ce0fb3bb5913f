// Answers of /v1/messages: one message, or the events of a stream, message_start to message_stop.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/answer_encoder.h"

namespace mlxd::api::anthropic {

class MessageAnswerEncoder : public AnswerEncoder {
 public:
  struct Options {
    AnswerInfo info;
    std::int32_t max_tokens = 0;  // that were asked for: an answer cut before has met the context's end
    bool hides_thinking = false;  // thinking blocks come without their text
  };
  explicit MessageAnswerEncoder(Options options) : options_(std::move(options)) {}

  std::string whole(std::span<const Choice> choices, const Usage& usage) override;
  std::string_view stream_content_type() const override { return "text/event-stream"; }
  /// Nothing yet: the first event knows what of the prompt was cached.
  void begin(std::string& /*out*/) override {}
  void event(std::string& out, std::int32_t choice, const TextEvent& event, const Usage& so_far) override;
  void end(std::string& out, const Usage& usage) override;
  void fail(std::string& out, const Error& error) override;

 private:
  enum class BlockKind : std::uint8_t { kNone, kText, kThinking };

  void start_message(std::string& out, const Usage& usage);
  void take_piece(std::string& out, const AnswerPiece& piece);
  void append_text(std::string& out, BlockKind kind, std::string_view text);
  void append_call(std::string& out);
  void open_block(std::string& out, std::string_view content);
  void close_block(std::string& out);
  void append_delta(std::string& out, std::string_view type, std::string_view key,
                    std::string_view text) const;
  void append_stop(std::string& out, FinishReason finish, const std::string& matched_stop,
                   const Usage& usage) const;

  Options options_;
  bool started_ = false;
  BlockKind open_ = BlockKind::kNone;
  std::int32_t num_blocks_ = 0;  // closed ones
  std::string thinking_;         // of the open block
  /// A call is held back until it is complete: a client may take its block for a call whatever comes after.
  AnswerPiece call_;
  std::vector<std::string> arguments_;
  std::int32_t num_silent_ = 0;  // events since something was sent
  FinishReason finish_ = FinishReason::kStop;
  std::string matched_stop_;
};

}  // namespace mlxd::api::anthropic
