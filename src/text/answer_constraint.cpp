#include "text/answer_constraint.h"

#include <algorithm>
#include <utility>

namespace mlxd {
namespace {

using Start = dialects::OutputParser::Start;

void set(std::vector<std::uint32_t>& mask, TokenId token, bool allowed) {
  const auto word = static_cast<std::size_t>(token) / 32;
  if (token < 0 || word >= mask.size()) return;
  const std::uint32_t bit = std::uint32_t{1} << (static_cast<unsigned>(token) % 32U);
  if (allowed)
    mask[word] |= bit;
  else
    mask[word] &= ~bit;
}

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
      mask_((static_cast<std::size_t>(std::max(options_.vocab_size, 0)) + 31) / 32) {
  if (!options_.reasoning.open.empty()) open_token_ = options_.tokenizer->token_id(options_.reasoning.open);
  if (options_.start != Start::kContent)
    begin_reasoning();
  else if (options_.reasoning.open.empty())
    phase_ = Phase::kAnswer;
}

std::span<const std::uint32_t> AnswerConstraint::mask() {
  if (error_) {
    std::fill(mask_.begin(), mask_.end(), 0U);
    return mask_;
  }
  if (phase_ == Phase::kClosing) {
    allow_only(closing_[num_closed_]);
    return mask_;
  }
  if (!options_.grammar) return {};
  if (phase_ == Phase::kReasoning) {
    // It may not end the answer, which has not begun.
    std::fill(mask_.begin(), mask_.end(), ~std::uint32_t{0});
    for (const TokenId token : options_.end_tokens) set(mask_, token, false);
    return mask_;
  }
  if (const auto computed = options_.grammar->compute_mask(mask_); !computed.ok()) {
    error_ = computed.error();
    return mask();
  }
  if (phase_ == Phase::kOpening) set(mask_, open_token_, true);
  return mask_;
}

void AnswerConstraint::advance(TokenId token) {
  if (error_) return;
  switch (phase_) {
    case Phase::kOpening:
      advance_opening(token);
      break;
    case Phase::kReasoning:
      advance_reasoning(token);
      break;
    case Phase::kClosing:
      if (++num_closed_ == closing_.size()) phase_ = Phase::kAnswer;
      break;
    case Phase::kAnswer:
      accept(token);
      break;
  }
}

void AnswerConstraint::begin_reasoning() {
  phase_ = Phase::kReasoning;
  text_.clear();
  if (options_.thinking_budget && *options_.thinking_budget <= 0 && !closing_.empty())
    phase_ = Phase::kClosing;
}

void AnswerConstraint::advance_opening(TokenId token) {
  if (token == open_token_) {
    begin_reasoning();
    return;
  }
  if (options_.grammar) {
    phase_ = Phase::kAnswer;
    accept(token);
    return;
  }
  // Written in several tokens.
  text_ += options_.tokenizer->token_bytes(token);
  const std::size_t begin = text_.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return;
  const std::string_view said = std::string_view(text_).substr(begin);
  if (said.starts_with(options_.reasoning.open))
    begin_reasoning();
  else if (!options_.reasoning.open.starts_with(said))
    phase_ = Phase::kAnswer;
}

void AnswerConstraint::advance_reasoning(TokenId token) {
  const std::string_view close = options_.reasoning.close;
  ++num_thought_;
  text_ += options_.tokenizer->token_bytes(token);
  if (text_.find(close) != std::string::npos) {
    phase_ = Phase::kAnswer;
    return;
  }
  if (text_.size() >= close.size()) text_.erase(0, text_.size() - close.size() + 1);
  if (options_.thinking_budget && num_thought_ >= *options_.thinking_budget && !closing_.empty())
    phase_ = Phase::kClosing;
}

void AnswerConstraint::accept(TokenId token) {
  if (!options_.grammar) return;
  if (const auto accepted = options_.grammar->accept(token); !accepted.ok()) error_ = accepted.error();
}

void AnswerConstraint::allow_only(TokenId token) {
  std::fill(mask_.begin(), mask_.end(), 0U);
  set(mask_, token, true);
}

}  // namespace mlxd
