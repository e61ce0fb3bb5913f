#include "text/answer_constraint.h"

#include <algorithm>
#include <utility>

namespace mlxd {
namespace {

using Start = dialects::OutputParser::Start;

void set(std::span<std::uint32_t> mask, TokenId token, bool allowed) {
  const auto word = static_cast<std::size_t>(token) / 32;
  if (token < 0 || word >= mask.size()) return;
  const std::uint32_t bit = std::uint32_t{1} << (static_cast<unsigned>(token) % 32U);
  if (allowed)
    mask[word] |= bit;
  else
    mask[word] &= ~bit;
}

/// After reasoning, as OutputParser takes them.
constexpr std::size_t kMostBreaks = 2;

}  // namespace

Result<std::shared_ptr<AnswerConstraint>> AnswerConstraint::create(Options options) {
  std::vector<TokenId> closing;
  if (options.thinking_budget)
    closing = TRY(options.tokenizer->encode("\n" + std::string(options.reasoning.close) + "\n\n", false));
  return std::shared_ptr<AnswerConstraint>(new AnswerConstraint(std::move(options), std::move(closing)));
}

AnswerConstraint::AnswerConstraint(Options options, std::vector<TokenId> closing)
    : options_(std::move(options)),
      closing_(std::move(closing)),
      num_words_((static_cast<std::size_t>(std::max(options_.vocab_size, 0)) + 31) / 32) {
  if (!options_.reasoning.open.empty()) open_token_ = options_.tokenizer->token_id(options_.reasoning.open);
  for (const std::string_view breaks : {"\n", "\n\n"}) {
    const auto tokens = options_.tokenizer->encode(breaks, false);
    if (tokens.ok() && tokens.value().size() == 1 &&
        options_.tokenizer->token_bytes(tokens.value()[0]) == breaks)
      breaks_.push_back(tokens.value()[0]);
  }
  if (options_.start != Start::kContent)
    begin_reasoning(place_);
  else if (options_.reasoning.open.empty())
    place_.phase = Phase::kAnswer;
}

// What the grammar forces are bytes; the tokens are those that the text would have by itself, most likely.
void AnswerConstraint::foresee(std::int32_t most, std::vector<TokenId>& tokens) {
  if (error_) return;
  const auto enough = static_cast<std::size_t>(std::max(most, 0));
  if (place_.phase == Phase::kClosing) {
    const std::span<const TokenId> left = std::span(closing_).subspan(place_.num_closed);
    tokens.insert(tokens.end(), left.begin(),
                  left.begin() + static_cast<std::ptrdiff_t>(std::min(enough, left.size())));
    return;
  }
  if (place_.phase != Phase::kAnswer || !options_.grammar) return;
  const std::string bytes = options_.grammar->forced_bytes();
  if (bytes.empty()) return;
  const auto encoded = options_.tokenizer->encode(bytes, false);
  if (!encoded.ok()) return;  // part of a character
  const std::vector<TokenId>& forced = encoded.value();
  tokens.insert(tokens.end(), forced.begin(),
                forced.begin() + static_cast<std::ptrdiff_t>(std::min(enough, forced.size())));
}

// Beyond the grammar's own it is left to the masks.
std::int32_t AnswerConstraint::num_allowed(std::span<const TokenId> tokens) {
  const auto all = static_cast<std::int32_t>(tokens.size());
  if (error_) return 0;
  return place_.phase == Phase::kAnswer && options_.grammar ? options_.grammar->num_allowed(tokens) : all;
}

bool AnswerConstraint::look_ahead(std::span<const TokenId> guesses) {
  guesses_.assign(guesses.begin(), guesses.end());
  words_.resize((guesses.size() + 1) * num_words_);
  restricts_.assign(guesses.size() + 1, 1);
  if (options_.grammar) return true;
  compute_masks();  // nothing to speak of
  return false;
}

void AnswerConstraint::compute_masks() {
  std::fill(words_.begin(), words_.end(), 0U);
  if (error_) return;
  const auto first = fill(place_, grammar(), std::span(words_).first(num_words_));
  if (!first.ok()) {
    error_ = first.error();
    std::fill(words_.begin(), words_.end(), 0U);
    return;
  }
  restricts_[0] = first.value() ? 1 : 0;
  if (guesses_.empty()) return;
  // On a copy: a guess is only a guess, and a grammar that fails beyond it has not failed.
  Place place = place_;
  std::optional<GrammarMatcher> ahead;
  if (options_.grammar) {
    auto forked = options_.grammar->fork();
    if (!forked.ok()) return;
    ahead = forked.take_value();
  }
  GrammarMatcher* const grammar = ahead ? &*ahead : nullptr;
  for (std::size_t i = 0; i < guesses_.size(); ++i) {
    // Masks that stay empty let nothing come: their guess is not taken.
    if (!advance(place, grammar, guesses_[i]).ok()) return;
    const std::span<std::uint32_t> words = std::span(words_).subspan((i + 1) * num_words_, num_words_);
    const auto filled = fill(place, grammar, words);
    if (!filled.ok()) {
      std::fill(words.begin(), words.end(), 0U);
      return;
    }
    restricts_[i + 1] = filled.value() ? 1 : 0;
  }
}

std::span<const std::uint32_t> AnswerConstraint::mask(std::size_t num_guesses) const {
  if (restricts_[num_guesses] == 0) return {};
  return std::span(words_).subspan(num_guesses * num_words_, num_words_);
}

void AnswerConstraint::advance(TokenId token) {
  if (error_) return;
  if (const auto advanced = advance(place_, grammar(), token); !advanced.ok()) error_ = advanced.error();
}

Result<bool> AnswerConstraint::fill(const Place& place, GrammarMatcher* grammar,
                                    std::span<std::uint32_t> words) const {
  if (place.phase == Phase::kClosing) {
    std::fill(words.begin(), words.end(), 0U);
    set(words, closing_[place.num_closed], true);
    return true;
  }
  if (grammar == nullptr) return false;
  if (place.phase == Phase::kReasoning) {
    // It may not end the answer, which has not begun.
    std::fill(words.begin(), words.end(), ~std::uint32_t{0});
    for (const TokenId token : options_.end_tokens) set(words, token, false);
    return true;
  }
  TRY(grammar->compute_mask(words));
  if (place.phase == Phase::kOpening) set(words, open_token_, true);
  if (place.phase == Phase::kBreak) {
    for (const TokenId token : breaks_)
      if (place.text.size() + options_.tokenizer->token_bytes(token).size() <= kMostBreaks)
        set(words, token, true);
  }
  return true;
}

Result<void> AnswerConstraint::advance(Place& place, GrammarMatcher* grammar, TokenId token) const {
  switch (place.phase) {
    case Phase::kOpening:
      return advance_opening(place, grammar, token);
    case Phase::kReasoning:
      advance_reasoning(place, token);
      return {};
    case Phase::kClosing:
      if (++place.num_closed == closing_.size()) place.phase = Phase::kAnswer;
      return {};
    case Phase::kBreak:
      if (std::find(breaks_.begin(), breaks_.end(), token) != breaks_.end()) {
        place.text += options_.tokenizer->token_bytes(token);
        if (place.text.size() <= kMostBreaks) return {};
      }
      place.phase = Phase::kAnswer;
      break;
    case Phase::kAnswer:
      break;
  }
  if (grammar == nullptr) return {};
  return grammar->accept(token);
}

void AnswerConstraint::begin_reasoning(Place& place) const {
  place.phase = Phase::kReasoning;
  place.text.clear();
  if (options_.thinking_budget && *options_.thinking_budget <= 0 && !closing_.empty())
    place.phase = Phase::kClosing;
}

Result<void> AnswerConstraint::advance_opening(Place& place, GrammarMatcher* grammar, TokenId token) const {
  if (token == open_token_) {
    begin_reasoning(place);
    return {};
  }
  if (grammar != nullptr) {
    place.phase = Phase::kAnswer;
    return grammar->accept(token);
  }
  // Written in several tokens.
  place.text += options_.tokenizer->token_bytes(token);
  const std::size_t begin = place.text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return {};
  const std::string_view said = std::string_view(place.text).substr(begin);
  if (said.starts_with(options_.reasoning.open))
    begin_reasoning(place);
  else if (!options_.reasoning.open.starts_with(said))
    place.phase = Phase::kAnswer;
  return {};
}

void AnswerConstraint::advance_reasoning(Place& place, TokenId token) const {
  const std::string_view close = options_.reasoning.close;
  ++place.num_thought;
  place.text += options_.tokenizer->token_bytes(token);
  if (place.text.find(close) != std::string::npos) {
    place.phase = Phase::kBreak;
    place.text.clear();
    return;
  }
  if (place.text.size() >= close.size()) place.text.erase(0, place.text.size() - close.size() + 1);
  if (options_.thinking_budget && place.num_thought >= *options_.thinking_budget && !closing_.empty())
    place.phase = Phase::kClosing;
}

}  // namespace mlxd
