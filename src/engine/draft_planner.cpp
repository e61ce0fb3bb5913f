#include "engine/draft_planner.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace mlxd {
namespace {

// How often guesses are right before anything is known, by evidence; and how many guesses that counts for.
constexpr std::array<double, kNumEvidence> kFirstRates{0.9, 0.6, 0.25, 0.4, 0.5, 0.6, 0.8, 0.9};
constexpr double kFirstRatesWeight = 20.0;
// What is known of all sequences counts for so many guesses of one.
constexpr double kCommonWeight = 4.0;
// A row beside one sequence, as a share of a plain step, where not even a prompt has been measured.
constexpr double kUnknownRowCost = 0.25;
// Steps after which what a plain one takes is measured again.
constexpr std::uint64_t kPlainLasts = 64;
constexpr double kPlainWeight = 0.2;
constexpr double kRatioWeight = 0.15;
constexpr double kStaleWeight = 0.5;  // of a plain step after a long time
constexpr int kFewMeasurements = 3;
// A step that took longer than this many times the expected was disturbed.
constexpr double kMostSurprise = 1.5;
// With every step ratios fade towards what was expected before anything was measured, lest a wrong one last.
constexpr double kFading = 0.001;
// What is expected to be gained, as a share, before anything is tried: estimates err.
constexpr double kLeastGain = 0.03;
// What speculation may lose, as a share of the steps without; and what it may have won or lost at a time, in
// steps.
constexpr double kAllowedLoss = 0.01;
constexpr double kMostBalance = 4.0;
constexpr double kLeastBalance = -50.0;
// A model whose guesses do not pay is asked for a few now and then: it may have become better at the text.
constexpr std::uint64_t kTryEvery = 256;
constexpr std::int32_t kTriedDrafts = 2;

std::size_t size_class(std::size_t num_sequences) {
  return static_cast<std::size_t>(std::bit_width(num_sequences - 1));
}

}  // namespace

double DraftPlanner::rate(const Sequence& sequence, Evidence evidence) const {
  const double first = kFirstRates[static_cast<std::size_t>(evidence)];
  return sequence.acceptance().rate(evidence, rates_.rate(evidence, first, kFirstRatesWeight), kCommonWeight);
}

const DraftPlanner::Plain* DraftPlanner::fresh_plain(std::size_t num_sequences) const {
  const Plain& plain = plain_[num_sequences];
  return plain.seconds > 0.0 && num_steps_ - plain.at_step <= kPlainLasts ? &plain : nullptr;
}

// costs_ from what was measured of steps like this: between known numbers of rows a straight line, beyond
// them what a row costs in a prompt. More rows never cost less.
void DraftPlanner::fill_costs(std::size_t num_sequences, double row_seconds) {
  const auto& known = ratios_[size_class(num_sequences)];
  const double per_row = row_seconds > 0.0 ? row_seconds / plain_[num_sequences].seconds
                                           : kUnknownRowCost / static_cast<double>(num_sequences);
  costs_[0] = 1.0;
  std::size_t before = 0;
  for (std::size_t rows = 1; rows < costs_.size(); ++rows) {
    if (known[rows].count == 0) continue;
    costs_[rows] = std::max(known[rows].value, costs_[before]);
    for (std::size_t i = before + 1; i < rows; ++i)
      costs_[i] = costs_[before] + (costs_[rows] - costs_[before]) * static_cast<double>(i - before) /
                                       static_cast<double>(rows - before);
    before = rows;
  }
  for (std::size_t rows = before + 1; rows < costs_.size(); ++rows)
    costs_[rows] = costs_[before] + per_row * static_cast<double>(rows - before);
}

void DraftPlanner::offer_next(Choice& choice) const {
  const Draft& draft = choice.sequence->draft();
  const auto next = static_cast<std::size_t>(choice.num_run);
  choice.next_right = next < draft.tokens.size()
                          ? choice.next_right * rate(*choice.sequence, draft.tokens[next].evidence)
                          : 0.0;
}

std::int32_t DraftPlanner::worthwhile_drafts(std::span<Sequence* const> decoding, double seconds_per_token,
                                             double row_seconds) {
  if (fixed_drafts_ > 0) return std::min(fixed_drafts_, kMostDrafts);
  if (seconds_per_token <= 0.0) return kMostDrafts;
  const std::size_t num_sequences = decoding.size();
  if (balance_ < 0.0 || num_sequences > kMostSequences || fresh_plain(num_sequences) == nullptr) return 0;
  fill_costs(num_sequences, row_seconds);
  const double per_token = seconds_per_token / plain_[num_sequences].seconds;
  std::int32_t best = 0;
  double best_gain = kLeastGain * static_cast<double>(num_sequences);
  for (std::int32_t drafts = 1; drafts <= kMostDrafts; ++drafts) {
    const std::size_t rows = num_sequences * static_cast<std::size_t>(drafts);
    if (rows >= costs_.size() || costs_[rows] > most_cost_) break;
    double gain = 0.0;
    for (const Sequence* const sequence : decoding) {
      const double right = rate(*sequence, Evidence::kDraftModel);
      double tokens = 1.0;
      for (std::int32_t i = 1; i <= drafts; ++i) tokens += std::pow(right, i);
      gain += std::log(tokens);
    }
    gain -= static_cast<double>(num_sequences) * std::log(costs_[rows] + per_token * drafts);
    if (gain <= best_gain) continue;
    best_gain = gain;
    best = drafts;
  }
  if (best == 0 && num_steps_ % kTryEvery == 0) return kTriedDrafts;
  return best;
}

void DraftPlanner::plan(std::span<Sequence* const> decoding, double row_seconds) {
  choices_.clear();
  for (Sequence* const sequence : decoding) {
    Draft& draft = sequence->draft();
    draft.num_run = std::min(fixed_drafts_, static_cast<std::int32_t>(draft.tokens.size()));
    if (!draft.tokens.empty()) choices_.push_back({.sequence = sequence, .next_right = 1.0});
  }
  const std::size_t num_sequences = decoding.size();
  if (fixed_drafts_ > 0 || choices_.empty() || balance_ < 0.0 || num_sequences > kMostSequences ||
      fresh_plain(num_sequences) == nullptr) {
    return;
  }
  fill_costs(num_sequences, row_seconds);
  for (Choice& choice : choices_) offer_next(choice);
  // Row by row to whom it brings most; where to stop is known only afterwards, as costs rise in steps.
  double gain = 0.0;
  double best_gain = kLeastGain * static_cast<double>(num_sequences);
  for (std::size_t rows = 1; rows < costs_.size(); ++rows) {
    Choice& next = *std::max_element(choices_.begin(), choices_.end(), [](const Choice& a, const Choice& b) {
      return a.next_right / a.tokens < b.next_right / b.tokens;
    });
    if (next.next_right <= 0.0 || costs_[rows] > most_cost_) break;
    gain += std::log1p(next.next_right / next.tokens);
    next.tokens += next.next_right;
    ++next.num_run;
    offer_next(next);
    const double net = gain - static_cast<double>(num_sequences) * std::log(costs_[rows]);
    if (net <= best_gain) continue;
    best_gain = net;
    for (const Choice& choice : choices_) choice.sequence->draft().num_run = choice.num_run;
  }
}

void DraftPlanner::learn(Sequence& sequence, std::int32_t first_new) {
  const Draft& draft = sequence.draft();
  const auto tokens = sequence.tokens();
  for (std::size_t i = 0; i < draft.tokens.size(); ++i) {
    const std::size_t place = static_cast<std::size_t>(first_new) + i;
    if (place >= tokens.size()) return;
    const bool right = tokens[place] == draft.tokens[i].token;
    sequence.acceptance().record(draft.tokens[i].evidence, right);
    rates_.record(draft.tokens[i].evidence, right);
    if (!right) return;
  }
}

void DraftPlanner::observe(std::int32_t num_decodes, std::int32_t num_extra_rows, std::int32_t num_accepted,
                           double seconds, double guessing_seconds) {
  ++num_steps_;
  const auto num_sequences = static_cast<std::size_t>(num_decodes);
  if (fixed_drafts_ > 0 || seconds <= 0.0 || num_sequences < 1 || num_sequences > kMostSequences) return;
  auto& ratios = ratios_[size_class(num_sequences)];
  for (Ratio& ratio : ratios) ratio.fade(kFading);
  if (num_extra_rows == 0) {
    observe_plain(num_sequences, seconds);
    balance_ += kAllowedLoss;
  } else if (num_extra_rows <= kMostExtraRows && plain_[num_sequences].seconds > 0.0) {
    const auto rows = static_cast<std::size_t>(num_extra_rows);
    ratios[rows].learn(seconds / plain_[num_sequences].seconds, costs_[rows]);
    balance_ += static_cast<double>(num_accepted) / num_decodes - (ratios[rows].value - 1.0);
  }
  if (plain_[num_sequences].seconds > 0.0) balance_ -= guessing_seconds / plain_[num_sequences].seconds;
  balance_ = std::clamp(balance_, kLeastBalance, kMostBalance);
}

void DraftPlanner::observe_plain(std::size_t num_sequences, double seconds) {
  Plain& plain = plain_[num_sequences];
  const double weight = fresh_plain(num_sequences) != nullptr ? kPlainWeight : kStaleWeight;
  if (plain.seconds > 0.0) {
    plain.seconds += weight * (std::min(seconds, kMostSurprise * plain.seconds) - plain.seconds);
  } else {
    // One sequence fewer takes about as long.
    const double fewer = plain_[num_sequences - 1].seconds;
    plain.seconds = fewer > 0.0 ? std::min(seconds, kMostSurprise * fewer) : seconds;
  }
  plain.at_step = num_steps_;
}

// The first measurements count more and may surprise more.
void DraftPlanner::Ratio::learn(double measured, double expected) {
  if (count == 0) value = unmeasured = expected;
  measured = std::clamp(measured, 1.0, (count < kFewMeasurements ? 3.0 : kMostSurprise) * value);
  value += std::max(kRatioWeight, 1.0 / (count + 1)) * (measured - value);
  count = std::min(count + 1, 1000);
}

void DraftPlanner::Ratio::fade(double share) {
  if (count > 0) value += share * (unmeasured - value);
}

}  // namespace mlxd
