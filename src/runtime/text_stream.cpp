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

TokenText token_text(const Tokenizer& tokenizer, TokenId token) {
  TokenText text;
  text.token = token;
  text.bytes = tokenizer.token_bytes(token);
  text.text = as_text(text.bytes);
  return text;
}

void add_alternatives(const Tokenizer& tokenizer, std::span<const TokenLogprob> alternatives,
                      TokenText& token) {
  token.top.reserve(token.top.size() + alternatives.size());
  for (const TokenLogprob& other : alternatives)
    token.top.push_back({other.token, tokenizer.token_bytes(other.token), other.logprob});
}

TextStream::TextStream(const Tokenizer& tokenizer, Options options)
    : tokenizer_(tokenizer),
      options_(std::move(options)),
      // The parser's markers may be special tokens.
      detokenizer_(tokenizer, options_.skip_special_tokens && !options_.parser),
      stop_matcher_(options_.stop_strings) {}

std::optional<TextEvent> TextStream::push(std::vector<TokenEvent>&& events) {
  TextEvent out;
  for (TokenEvent& event : events) {
    if (finished_) break;
    consume(event, out);
  }
  if (out.pieces.empty() && out.logprobs.empty() && !out.finish && !out.error) return std::nullopt;
  return out;
}

void TextStream::consume(TokenEvent& event, TextEvent& out) {
  if (event.token != kNoToken) {
    ++completion_tokens_;
    if (event.was_predicted) ++prediction_.accepted_tokens;
    prediction_.rejected_tokens += event.num_mispredicted;
    const auto& ends = options_.stop_tokens;
    if (std::find(ends.begin(), ends.end(), event.token) == ends.end()) read_token(event, out);
  }
  if (finished_) return;
  if (event.error) {
    finished_ = true;
    out.error = std::move(event.error);
  } else if (event.finish) {
    finish_text(*event.finish, out);
  }
}

void TextStream::read_token(const TokenEvent& event, TextEvent& out) {
  auto& parser = options_.parser;
  const bool thought = parser && parser->in_reasoning();
  std::string piece;
  const bool means_nothing = parser && options_.skip_special_tokens && tokenizer_.is_special(event.token) &&
                             !parser->takes_mark(tokenizer_.token_bytes(event.token));
  if (!means_nothing) piece = detokenizer_.push(event.token);
  if (options_.logprobs) keep_logprobs(event, piece.size());
  pass_on(piece, out);
  if (thought || (parser && parser->in_reasoning())) ++reasoning_tokens_;
}

void TextStream::finish_text(FinishReason reason, TextEvent& out) {
  pass_on(detokenizer_.finish(), out);
  if (!finished_ && options_.parser) pass_on(options_.parser->finish(reason == FinishReason::kLength), out);
  if (finished_) return;
  finished_ = true;
  flush_content(out);
  const bool calls = options_.parser && options_.parser->num_complete_calls() > 0;
  out.finish = reason == FinishReason::kStop && calls ? FinishReason::kToolCalls : reason;
  release_logprobs(true, out);
}

void TextStream::pass_on(std::string_view text, TextEvent& out) {
  detokenized_bytes_ += text.size();
  if (options_.parser)
    pass_on(options_.parser->push(text), out);
  else
    pass_content(text, out);
  release_logprobs(false, out);
}

void TextStream::pass_on(std::vector<AnswerPiece>&& pieces, TextEvent& out) {
  for (AnswerPiece& piece : pieces) {
    if (finished_) return;
    if (piece.kind == AnswerPiece::Kind::kContent) {
      pass_content(piece.text, out);
    } else {
      // What is held back of the content came before.
      flush_content(out);
      const bool ends_call = piece.kind == AnswerPiece::Kind::kCallEnd;
      append_piece(out.pieces, std::move(piece));
      if (ends_call && ++num_calls_ == options_.max_calls) {
        finished_ = true;
        out.finish = FinishReason::kToolCalls;
      }
    }
  }
}

// Sends content through the stop matcher.
void TextStream::pass_content(std::string_view text, TextEvent& out) {
  content_in_bytes_ += text.size();
  StopMatcher::Output output = stop_matcher_.push(text);
  content_out_bytes_ += output.text.size();
  append_piece(out.pieces, {.text = std::move(output.text)});
  if (output.stopped) {
    finished_ = true;
    out.finish = FinishReason::kStop;
    out.matched_stop = std::move(output.matched);
  }
}

void TextStream::flush_content(TextEvent& out) {
  if (content_in_bytes_ == content_out_bytes_) return;
  append_piece(out.pieces, {.text = stop_matcher_.finish()});
  content_out_bytes_ = content_in_bytes_;
  stop_matcher_ = StopMatcher(options_.stop_strings);
}

// Of all detokenized text, how much is decided.
std::size_t TextStream::released_bytes() const {
  std::size_t held = content_in_bytes_ - content_out_bytes_;
  if (options_.parser) held += options_.parser->held_bytes();
  return detokenized_bytes_ - std::min(detokenized_bytes_, held);
}

void TextStream::keep_logprobs(const TokenEvent& event, std::size_t piece_bytes) {
  PendingToken& pending = pending_.emplace_back();
  pending.begin = detokenized_bytes_;
  pending.end = detokenized_bytes_ + piece_bytes;
  pending.token = token_text(tokenizer_, event.token);
  pending.token.logprob = event.logprob.value_or(0.0F);
  add_alternatives(tokenizer_, event.top_logprobs, pending.token);
}

// Gives out the tokens whose text is out, the one that a stop string cuts in two included.
void TextStream::release_logprobs(bool stream_ended, TextEvent& out) {
  const std::size_t released = released_bytes();
  while (!pending_.empty()) {
    const PendingToken& next = pending_.front();
    const bool cut_in_two = finished_ && next.begin < released;
    if (next.end > released && !cut_in_two && !stream_ended) break;
    out.logprobs.push_back(std::move(pending_.front().token));
    pending_.pop_front();
  }
}

}  // namespace mlxd
