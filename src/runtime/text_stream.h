// From a request's token events to text: detokenized, cut at stop strings. One per request, one owner.
#pragma once

#include <optional>
#include <string>
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
    std::vector<TokenId> stop_tokens;   // their text is not part of the answer
    bool skip_special_tokens = true;
    bool logprobs = false;
  };
  /// `tokenizer` must outlive this.
  TextStream(const Tokenizer& tokenizer, Options options);

  /// Consumes token events; after an event with finish or error, push no more. Returns what they make, if anything.
  std::optional<TextEvent> push(std::vector<TokenEvent>&& events);
  /// Tokens counted so far, the one that completed a stop string included.
  std::int32_t completion_tokens() const { return completion_tokens_; }

 private:
  const Tokenizer& tokenizer_;
  Options options_;
  Detokenizer detokenizer_;
  StopMatcher stop_matcher_;
  std::int32_t completion_tokens_ = 0;
};

}  // namespace mlxd
