#include "runtime/text_stream.h"

#include <algorithm>
#include <utility>

#include "text/lossy_utf8.h"

namespace mlxd {
namespace {

// A token may be a part of a character, which text cannot be.
std::string as_text(std::string_view bytes) {
  std::string text;
  LossyUtf8 decoder;
  decoder.push(bytes, text);
  decoder.finish(text);
  return text;
}

}  // namespace

TextStream::TextStream(const Tokenizer& tokenizer, Options options)
    : tokenizer_(tokenizer),
      options_(std::move(options)),
      detokenizer_(tokenizer, options_.skip_special_tokens),
      stop_matcher_(options_.stop_strings) {}

std::optional<TextEvent> TextStream::push(std::vector<TokenEvent>&& events) {
  TextEvent out;
  for (TokenEvent& event : events) {
    if (finished_) break;
    consume(event, out);
  }
  if (out.text.empty() && out.logprobs.empty() && !out.finish && !out.error) return std::nullopt;
  return out;
}

void TextStream::consume(TokenEvent& event, TextEvent& out) {
  if (event.token != kNoToken) {
    ++completion_tokens_;
    if (event.was_predicted) ++prediction_.accepted_tokens;
    prediction_.rejected_tokens += event.num_mispredicted;
    const auto& ends = options_.stop_tokens;
    if (std::find(ends.begin(), ends.end(), event.token) == ends.end()) {
      const std::string piece = detokenizer_.push(event.token);
      if (options_.logprobs) keep_logprobs(event, piece.size());
      pass_on(piece, out);
    }
  }
  if (finished_) return;
  if (event.error) {
    finished_ = true;
    out.error = std::move(event.error);
  } else if (event.finish) {
    pass_on(detokenizer_.finish(), out);
    if (finished_) return;
    finished_ = true;
    const std::string rest = stop_matcher_.finish();
    released_bytes_ += rest.size();
    out.text += rest;
    out.finish = event.finish;
    release_logprobs(true, out);
  }
}

// Sends text through the stop matcher.
void TextStream::pass_on(std::string_view piece, TextEvent& out) {
  detokenized_bytes_ += piece.size();
  StopMatcher::Output output = stop_matcher_.push(piece);
  released_bytes_ += output.text.size();
  out.text += output.text;
  if (output.stopped) {
    finished_ = true;
    out.finish = FinishReason::kStop;
    out.matched_stop = std::move(output.matched);
  }
  release_logprobs(false, out);
}

void TextStream::keep_logprobs(TokenEvent& event, std::size_t piece_bytes) {
  PendingToken& pending = pending_.emplace_back();
  pending.begin = detokenized_bytes_;
  pending.end = detokenized_bytes_ + piece_bytes;
  TokenText& token = pending.token;
  token.token = event.token;
  token.bytes = tokenizer_.token_bytes(event.token);
  token.text = as_text(token.bytes);
  token.logprob = event.logprob.value_or(0.0F);
  token.top.reserve(event.top_logprobs.size());
  for (const TokenLogprob& other : event.top_logprobs)
    token.top.push_back({other.token, tokenizer_.token_bytes(other.token), other.logprob});
}

// Gives out the tokens whose text is out, the one that a stop string cuts in two included.
void TextStream::release_logprobs(bool stream_ended, TextEvent& out) {
  while (!pending_.empty()) {
    const PendingToken& next = pending_.front();
    const bool cut_in_two = finished_ && next.begin < released_bytes_;
    if (next.end > released_bytes_ && !cut_in_two && !stream_ended) break;
    out.logprobs.push_back(std::move(pending_.front().token));
    pending_.pop_front();
  }
}

}  // namespace mlxd
