// From a request's token events to the answer: detokenized, told apart into content, reasoning and tool
// calls, cut at stop strings. One per request, one owner.
//
// Stop strings end the content; reasoning and calls are not searched. Text that may turn out to begin a stop
// string or a marker is held back, and with it the log-probabilities of its tokens; tokens of a stop string
// that was found, and end tokens, are not part of the answer. Log-probabilities are of all other tokens,
// those of reasoning, calls and markers too.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "generation/generation_event.h"
#include "generation/text_event.h"
#include "text/detokenizer.h"
#include "text/dialects/output_parser.h"
#include "text/stop_matcher.h"

namespace mlxd {

/// A token with its text, without a log-probability.
TokenText token_text(const Tokenizer& tokenizer, TokenId token);
void add_alternatives(const Tokenizer& tokenizer, std::span<const TokenLogprob> alternatives,
                      TokenText& token);

class TextStream {
 public:
  struct Options {
    std::vector<std::string> stop_strings = {};
    std::vector<TokenId> stop_tokens = {};  // their text is not part of the answer
    bool skip_special_tokens = true;
    bool logprobs = false;
    std::int32_t max_calls = 0;  // the answer ends with so many complete calls; 0: no bound
    /// Tells the answer's parts apart; absent: all of it is content.
    std::optional<dialects::OutputParser> parser = {};
  };
  /// `tokenizer` must outlive this.
  TextStream(const Tokenizer& tokenizer, Options options);

  /// Consumes token events; after an event with finish or error, push no more. Returns what they make, if
  /// anything.
  std::optional<TextEvent> push(std::vector<TokenEvent>&& events);
  /// Tokens counted so far, the one that completed a stop string included.
  std::int32_t completion_tokens() const { return completion_tokens_; }
  /// Those of them that were thought, as far as the parser knows.
  std::int32_t reasoning_tokens() const { return reasoning_tokens_; }
  /// What became of the request's prediction in these.
  const Usage::Prediction& prediction() const { return prediction_; }

 private:
  /// A token whose text may not have been released yet: it ends at byte `end` of all detokenized text.
  struct PendingToken {
    TokenText token;
    std::size_t begin = 0;
    std::size_t end = 0;
  };

  void consume(TokenEvent& event, TextEvent& out);
  void read_token(const TokenEvent& event, TextEvent& out);
  void finish_text(FinishReason reason, TextEvent& out);
  void pass_on(std::string_view text, TextEvent& out);
  void pass_on(std::vector<AnswerPiece>&& pieces, TextEvent& out);
  void pass_content(std::string_view text, TextEvent& out);
  void flush_content(TextEvent& out);
  std::size_t released_bytes() const;
  void keep_logprobs(const TokenEvent& event, std::size_t piece_bytes);
  void release_logprobs(bool stream_ended, TextEvent& out);

  const Tokenizer& tokenizer_;
  Options options_;
  Detokenizer detokenizer_;
  StopMatcher stop_matcher_;
  std::int32_t completion_tokens_ = 0;
  std::int32_t num_calls_ = 0;  // complete ones
  std::int32_t reasoning_tokens_ = 0;
  Usage::Prediction prediction_;
  bool finished_ = false;
  std::size_t detokenized_bytes_ = 0;
  std::size_t content_in_bytes_ = 0;  // of content, into the stop matcher and out of it
  std::size_t content_out_bytes_ = 0;
  std::deque<PendingToken> pending_;
};

}  // namespace mlxd
