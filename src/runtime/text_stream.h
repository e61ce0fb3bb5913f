// From a request's token events to text: detokenized, cut at stop strings. One per request, one owner.
//
// Text that may turn out to begin a stop string is held back, and with it the log-probabilities of its
// tokens; tokens of a stop string that was found, and end tokens, are not part of the answer.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "generation/generation_event.h"
#include "generation/text_event.h"
#include "text/detokenizer.h"
#include "text/stop_matcher.h"

namespace mlxd {

class TextStream {
 public:
  struct Options {
    std::vector<std::string> stop_strings;
    std::vector<TokenId> stop_tokens;  // their text is not part of the answer
    bool skip_special_tokens = true;
    bool logprobs = false;
  };
  /// `tokenizer` must outlive this.
  TextStream(const Tokenizer& tokenizer, Options options);

  /// Consumes token events; after an event with finish or error, push no more. Returns what they make, if
  /// anything.
  std::optional<TextEvent> push(std::vector<TokenEvent>&& events);
  /// Tokens counted so far, the one that completed a stop string included.
  std::int32_t completion_tokens() const { return completion_tokens_; }
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
  void pass_on(std::string_view piece, TextEvent& out);
  void keep_logprobs(TokenEvent& event, std::size_t piece_bytes);
  void release_logprobs(bool stream_ended, TextEvent& out);

  const Tokenizer& tokenizer_;
  Options options_;
  Detokenizer detokenizer_;
  StopMatcher stop_matcher_;
  std::int32_t completion_tokens_ = 0;
  Usage::Prediction prediction_;
  bool finished_ = false;
  std::size_t detokenized_bytes_ = 0;
  std::size_t released_bytes_ = 0;
  std::deque<PendingToken> pending_;
};

}  // namespace mlxd
