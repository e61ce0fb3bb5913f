#include "engine/speculator.h"

#include <algorithm>
#include <chrono>

namespace mlxd {

Result<void> Speculator::propose(std::span<Sequence* const> decoding, double row_seconds,
                                 const Clock& clock) {
  guessing_time_ = {};
  num_accepted_ = 0;
  if (drafter_ == nullptr) return {};
  const TimePoint started = clock.now();
  const std::int32_t most = planner_.worthwhile_drafts(
      decoding, drafter_->seconds_per_token(static_cast<std::int32_t>(decoding.size())), row_seconds);
  for (Sequence* const sequence : decoding) {
    sequence->draft().clear();
    const std::int32_t useful = sequence->most_drafts();
    if (!foresee(*sequence, std::min(DraftPlanner::kMostDrafts, useful)))
      sequence->draft().most_tokens = std::min(most, useful);
  }
  TRY(drafter_->propose(decoding));
  for (Sequence* const sequence : decoding) keep_allowed(*sequence);
  planner_.plan(decoding, row_seconds);
  guessing_time_ = clock.now() - started;
  return {};
}

/// Takes what a constraint lets nothing but come for the draft. False if it says nothing.
bool Speculator::foresee(Sequence& sequence, std::int32_t most) {
  TokenConstraint* const constraint = sequence.request().constraint();
  if (constraint == nullptr || most < 1) return false;
  tokens_.clear();
  constraint->foresee(most, tokens_);
  for (const TokenId token : tokens_) sequence.draft().tokens.push_back({token, Evidence::kConstraint});
  return !tokens_.empty();
}

/// Guesses that a constraint refuses are not worth their rows.
void Speculator::keep_allowed(Sequence& sequence) {
  TokenConstraint* const constraint = sequence.request().constraint();
  std::vector<DraftToken>& tokens = sequence.draft().tokens;
  if (constraint == nullptr || tokens.empty()) return;
  tokens_.clear();
  for (const DraftToken& guess : tokens) tokens_.push_back(guess.token);
  tokens.resize(static_cast<std::size_t>(constraint->num_allowed(tokens_)));
}

bool Speculator::look_ahead(const Sequence& sequence, std::int32_t num_drafts) {
  TokenConstraint* const constraint = sequence.request().constraint();
  if (constraint == nullptr) return false;
  tokens_.clear();
  for (std::int32_t i = 0; i < num_drafts; ++i)
    tokens_.push_back(sequence.draft().tokens[static_cast<std::size_t>(i)].token);
  return constraint->look_ahead(tokens_);
}

void Speculator::learn(Sequence& sequence, std::int32_t first_new, std::int32_t num_accepted) {
  planner_.learn(sequence, first_new);
  num_accepted_ += num_accepted;
}

void Speculator::observe(std::int32_t num_decodes, std::int32_t num_drafts, double seconds) {
  planner_.observe(num_decodes, num_drafts, num_accepted_, seconds,
                   std::chrono::duration<double>(guessing_time_).count());
}

void Speculator::forget(SequenceId id) {
  if (drafter_ != nullptr) drafter_->forget(id);
}

Result<void> Speculator::resize(std::int32_t num_pages) {
  return drafter_ != nullptr ? drafter_->resize(num_pages) : Result<void>{};
}

}  // namespace mlxd
