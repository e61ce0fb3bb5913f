#include "server/prompt_echo.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string_view>
#include <utility>
#include <variant>

#include "api/json_text.h"
#include "base/check.h"
#include "runtime/text_stream.h"

namespace mlxd {
namespace {

/// Finds the tokens' places in the text that they were made of, one after the other. Some have none (a BOS
/// that the tokenizer puts in front, special tokens that the text leaves out), and of some the text has less
/// or something else (a space put in front of a word, what the tokenizer normalizes).
class TokenPlaces {
 public:
  explicit TokenPlaces(std::string_view text) : left_(text) {}

  /// Characters of the text that are the next token's.
  std::int64_t take(std::string_view bytes, bool is_special) {
    return api::count_characters(take_bytes(find_end(bytes, is_special)));
  }
  std::int64_t take_rest() { return api::count_characters(take_bytes(left_.size())); }

 private:
  // What was changed is looked for again no further on than this.
  static constexpr std::size_t kMostChangedBytes = 64;

  std::string_view take_bytes(std::size_t count) {
    const std::string_view taken = left_.substr(0, count);
    left_.remove_prefix(count);
    return taken;
  }

  std::size_t find_end(std::string_view bytes, bool is_special) const {
    if (left_.starts_with(bytes)) return bytes.size();
    if (is_special) return 0;
    if (bytes.starts_with(' ') && left_.starts_with(bytes.substr(1))) return bytes.size() - 1;
    const std::size_t place = left_.substr(0, kMostChangedBytes).find(bytes);
    return place == std::string_view::npos ? 0 : place + bytes.size();
  }

  std::string_view left_;
};

}  // namespace

Result<PromptEcho> PromptEcho::create(const Tokenizer& tokenizer, const api::RawPrompt& prompt,
                                      std::span<const TokenId> tokens, bool lists_tokens) {
  PromptEcho echo;
  // Text as it was sent: decoding would lose what the tokenizer normalizes and its special tokens.
  const auto* sent = std::get_if<std::string>(&prompt);
  echo.text_ = sent != nullptr ? *sent : TRY(tokenizer.decode(tokens, true));
  if (!lists_tokens || tokens.empty()) return echo;
  TokenPlaces places(echo.text_);
  echo.tokens_.assign(tokens.begin(), tokens.end());
  echo.num_characters_.reserve(tokens.size());
  for (const TokenId token : tokens)
    echo.num_characters_.push_back(places.take(tokenizer.token_bytes(token), tokenizer.is_special(token)));
  // So that what follows has its right place in any case.
  echo.num_characters_.back() += places.take_rest();
  return echo;
}

void PromptEcho::set_scores(std::shared_ptr<const PromptScores> scores) {
  CHECK(awaits_scores() && scores != nullptr && scores->size() + 1 == tokens_.size());
  scores_ = std::move(scores);
}

void PromptEcho::put_before(const Tokenizer& tokenizer, TextEvent& event) const {
  CHECK(!awaits_scores());
  if (!text_.empty()) event.pieces.insert(event.pieces.begin(), AnswerPiece{.text = text_});
  std::vector<TokenText> texts;
  texts.reserve(tokens_.size() + event.logprobs.size());
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    TokenText& text = texts.emplace_back(token_text(tokenizer, tokens_[i]));
    text.num_characters = num_characters_[i];
    text.has_logprob = i > 0;
    if (i == 0) continue;
    const TokenScore& score = (*scores_)[i - 1];
    text.logprob = score.logprob;
    add_alternatives(tokenizer, score.top_logprobs, text);
  }
  std::move(event.logprobs.begin(), event.logprobs.end(), std::back_inserter(texts));
  event.logprobs = std::move(texts);
}

}  // namespace mlxd
