// Answers of /v1/chat/completions: one object, or chunks ending in [DONE].
#pragma once

#include <string>

#include "api/answer_encoder.h"

namespace mlxd::api::openai {

class ChatAnswerEncoder : public AnswerEncoder {
 public:
  struct Options {
    AnswerInfo info;
    std::int32_t num_choices = 1;
    bool logprobs = false;
    bool include_usage = false;
  };
  explicit ChatAnswerEncoder(Options options);

  std::string whole(std::span<const Choice> choices, const Usage& usage) override;
  std::string_view stream_content_type() const override { return "text/event-stream"; }
  void begin(std::string& out) override;
  void event(std::string& out, std::int32_t choice, const TextEvent& event, const Usage& so_far) override;
  void end(std::string& out, const Usage& usage) override;
  void fail(std::string& out, const Error& error) override;

 private:
  void append_piece_chunk(std::string& out, std::int32_t choice, const AnswerPiece& piece,
                          const std::vector<TokenText>& logprobs) const;
  void open_chunk(std::string& out, std::int32_t choice) const;
  void close_chunk(std::string& out) const;

  Options options_;
  std::string chunk_head_;  // up to the choice's index; the same for all chunks
};

}  // namespace mlxd::api::openai
