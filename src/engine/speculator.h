// Guessing ahead of the decoding sequences: a drafter or a constraint says what may come, the planner how
// much of it is worth a row of the step, and what the rows say is learnt from. Guesses never change an
// answer. One owner, the engine's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "engine/backend.h"
#include "engine/draft_planner.h"
#include "engine/drafter.h"
#include "engine/sequence.h"

namespace mlxd {

class Speculator {
 public:
  /// `drafter`: nullptr, and nothing is guessed. `fixed_drafts`: see DraftPlanner.
  Speculator(std::unique_ptr<Drafter> drafter, std::int32_t fixed_drafts)
      : drafter_(std::move(drafter)), planner_(fixed_drafts) {}

  bool guesses() const { return drafter_ != nullptr; }

  /// Before a step: gives the decoding sequences new drafts, and says how much of each to run. `row_seconds`:
  /// see DraftPlanner::plan. Errors: those of the drafter; drafts are in doubt then, see drop().
  Result<void> propose(std::span<Sequence* const> decoding, double row_seconds, const Clock& clock);
  /// Tells the constraint of a sequence that draws a token, if it has one, what the first `num_drafts` of the
  /// draft are. True if it has masks to compute.
  bool look_ahead(const Sequence& sequence, std::int32_t num_drafts);
  /// After a step in which the sequence had `first_new` tokens before it and `num_accepted` drafts were
  /// right.
  void learn(Sequence& sequence, std::int32_t first_new, std::int32_t num_accepted);
  /// What the step took without guessing; not where prompts were in it.
  void observe(std::int32_t num_decodes, std::int32_t num_drafts, double seconds);

  /// What guessing for the current step took.
  Duration guessing_time() const { return guessing_time_; }

  void forget(SequenceId id);
  /// The engine's number of pages. Errors: kOutOfMemory; see drop().
  Result<void> resize(std::int32_t num_pages);
  /// Guesses no more. Drafts that sequences still have are the caller's to clear.
  void drop() { drafter_.reset(); }
  BackendMemory memory() const { return drafter_ != nullptr ? drafter_->memory() : BackendMemory{}; }

 private:
  bool foresee(Sequence& sequence, std::int32_t most);
  void keep_allowed(Sequence& sequence);

  std::unique_ptr<Drafter> drafter_;
  DraftPlanner planner_;
  std::vector<TokenId> tokens_;  // of one sequence

  // The current step.
  Duration guessing_time_{};
  std::int32_t num_accepted_ = 0;
};

}  // namespace mlxd
