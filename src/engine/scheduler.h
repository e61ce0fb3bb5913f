// Decides what each step computes: which sequences join and how many tokens each runs. Requests join and
// leave between steps. Owned by the engine's thread; sequences and pool outlive their time in it.
//
// - Every decoding sequence runs its one token; what is left of the step's token budget goes to prefill
// chunks in
//   order of arrival.
// - A waiting sequence is admitted, strictly in order of arrival, once the pages for all its known tokens are
// free
//   beyond what the running ones are about to need. Pages are taken as the tokens come.
// - When pages run out, the newest running sequence gives its pages back and goes to the head of the waiting
// line;
//   later it computes prompt and generated tokens again. The oldest can always displace all others, so every
//   sequence that fits the pool alone is served to its end.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/page_pool.h"
#include "engine/sequence.h"

namespace mlxd {

/// A sequence's part of a step: its next `num_tokens` tokens.
struct ScheduledChunk {
  Sequence* sequence = nullptr;
  std::int32_t num_tokens = 0;
};

class Scheduler {
 public:
  struct Options {
    std::int32_t max_running = 0;  // at most step_token_budget, so that a prefill always moves
    std::int32_t step_token_budget = 0;
  };
  Scheduler(PagePool& pool, Options options);

  /// Puts a new sequence at the end of the waiting line. It fits the pool alone.
  void add(Sequence& sequence);
  /// Takes a sequence out, wherever it is, and gives its pages back.
  void remove(Sequence& sequence);

  /// The next step: decodes, then prefill chunks. Pages for all of them are taken. Empty only if nothing is
  /// left to do. Valid until the next call; sequences of it may be removed meanwhile, once the step is over.
  std::span<const ScheduledChunk> schedule();

  std::int32_t num_running() const { return static_cast<std::int32_t>(running_.size()); }
  std::int32_t num_waiting() const { return static_cast<std::int32_t>(waiting_.size()); }
  std::uint64_t num_preemptions() const { return num_preemptions_; }
  /// Sequences that left the waiting line for the first time in the last schedule().
  std::span<Sequence* const> newly_started() const { return newly_started_; }

  /// Whether pages, tables and lines agree; the message says what does not.
  Result<void> check_integrity() const;

 private:
  struct Running {
    Sequence* sequence = nullptr;
    std::int32_t planned = 0;  // tokens in the step being planned
  };

  void schedule_decodes();
  void schedule_prefills();
  void admit();
  void emit_plan();
  void plan(Running& running, std::int32_t num_tokens);
  bool make_room(std::size_t index, std::int32_t num_tokens);
  void preempt_newest();
  std::int32_t pages_spoken_for() const;

  PagePool& pool_;
  Options options_;
  std::vector<Running> running_;   // in order of arrival
  std::deque<Sequence*> waiting_;  // in order of arrival; all older than these are running
  std::vector<ScheduledChunk> chunks_;
  std::vector<Sequence*> newly_started_;
  std::int32_t budget_left_ = 0;
  bool preempted_in_step_ = false;
  std::uint64_t num_preemptions_ = 0;
};

}  // namespace mlxd
