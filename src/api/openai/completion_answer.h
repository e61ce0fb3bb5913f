// Answers of /v1/completions: one object, or chunks of the same form ending in [DONE].
#pragma once

#include <string>
#include <vector>

#include "api/answer_encoder.h"

namespace mlxd::api::openai {

class CompletionAnswerEncoder : public AnswerEncoder {
 public:
  struct Options {
    AnswerInfo info;
    std::int32_t num_choices = 1;  // over all prompts
    bool logprobs = false;
    bool include_usage = false;
  };
  explicit CompletionAnswerEncoder(Options options);

  std::string whole(std::span<const Choice> choices, const Usage& usage) override;
  std::string_view stream_content_type() const override { return "text/event-stream"; }
  void begin(std::string& out) override;
  void event(std::string& out, std::int32_t choice, const TextEvent& event, const Usage& so_far) override;
  void end(std::string& out, const Usage& usage) override;
  void fail(std::string& out, const Error& error) override;

 private:
  void append_logprobs(std::string& out, const std::vector<TokenText>& tokens, std::int64_t& offset) const;
  void append_chunk(std::string& out, std::int32_t choice, const std::string& text,
                    const std::vector<TokenText>& tokens, std::string_view finish_reason);

  Options options_;
  std::string chunk_head_;
  std::vector<std::int64_t> text_offsets_;  // per choice, in characters
};

}  // namespace mlxd::api::openai
