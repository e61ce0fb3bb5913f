// Decides what each step computes: which sequences join and how many tokens each runs. Requests join and
// leave between steps. Owned by the engine's thread; sequences and cache outlive their time in it.
//
// Order. A sequence's rank is its level (priority, risen by waiting), then how little its client has been
// served, then arrival.
//
// - Every decoding sequence runs its one token. What the step may take beside them (see StepPacer) goes to
//   prefill: half of it, at least, to the prefill that ranks first, the rest to the shortest ones of the same
//   level, so that a short prompt does not wait for a long one to end, and no prefill starves. Where the
//   backend can cut a step between layers, what prefills beside decodes is a wave: prompt tokens that go
//   through some of the layers in each step, together, until they are through. Others begin after it.
// - Waiting sequences are admitted strictly by rank, as soon as the pages for all their known tokens are free
//   or idle, beyond what the running ones are about to need; what the cache has counts as there. Pages are
//   taken as the tokens come. One whose prompt begins like another's that is just being computed waits for
//   that, and then shares it.
// - Drafts that a decoding sequence wants verified (Draft::num_run) are run as far as budget and pages are
//   left when all others have theirs; prefill gives way to them by as many tokens, up to half of it.
// - When pages run out, the running sequence of the lowest level, the newest of it, gives its pages back and
//   waits again; later it finds them in the cache or computes them anew. A waiting sequence of a better level
//   displaces in the same way. The first of the best level can displace all others, so every sequence that
//   fits the pool alone is served to its end.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/fair_share.h"
#include "engine/kv_cache.h"
#include "engine/sequence.h"
#include "engine/step_pacer.h"

namespace mlxd {

/// A sequence's part of a step: its next `num_tokens` tokens, then `num_drafts` of its draft.
struct ScheduledChunk {
  Sequence* sequence = nullptr;
  std::int32_t num_tokens = 0;
  std::int32_t num_drafts = 0;
  /// In the step's slice of layers: where its rows are kept meanwhile.
  std::optional<std::int32_t> kept_row = {};
  /// Whether its tokens are through all layers after the step.
  bool finishes = true;
};

/// The layers of a step's chunks that have a kept_row.
struct ScheduledLayers {
  std::int32_t first = 0;
  std::int32_t last = 0;  // not included
};

class Scheduler {
 public:
  struct Options {
    std::int32_t max_running = 0;  // at most step_token_budget, so that a prefill always moves
    std::int32_t step_token_budget = 0;
    double gap_ratio = 3.0;         // see StepPacer
    std::int32_t num_layers = 0;    // BackendInfo::num_sliceable_layers
    std::int32_t piece_tokens = 0;  // BackendInfo's
  };
  Scheduler(KvCache& cache, Options options);

  /// Puts a new sequence into the waiting line. It fits the pool alone.
  void add(Sequence& sequence);
  /// Takes a sequence out, wherever it is, and gives its pages back.
  void remove(Sequence& sequence);

  /// The next step: decodes, then prefill chunks. Pages for all of them are taken; the cache may have copies
  /// to be made first. Empty only if nothing is left to do, or only copies are. Valid until the next call;
  /// sequences of it may be removed meanwhile, once the step is over.
  std::span<const ScheduledChunk> schedule(TimePoint now);
  /// Of the last step.
  const ScheduledLayers& layers() const { return layers_; }
  /// What the last step took.
  void observe(double seconds);
  /// Drafts of the last step proved right: its client has been served so many tokens more.
  void charge_accepted(const Sequence& sequence, std::int32_t num_tokens);

  /// Running sequences that have one token to run, in order of arrival: whose drafts the next step can
  /// verify.
  void list_decoding(std::vector<Sequence*>& decoding) const;

  std::int32_t num_running() const { return static_cast<std::int32_t>(running_.size()); }
  std::int32_t num_waiting() const { return static_cast<std::int32_t>(waiting_.size()); }
  std::int32_t num_decoding() const { return num_decoding_; }      // of the last step
  std::int32_t num_prefilling() const { return num_prefilling_; }  // tokens of the last step, sliced or not
  std::int32_t num_drafts() const { return num_drafts_; }          // of the last step
  std::uint64_t num_preemptions() const { return num_preemptions_; }
  const StepPacer& pacer() const { return pacer_; }
  /// Sequences that left the waiting line for the first time in the last schedule().
  std::span<Sequence* const> newly_started() const { return newly_started_; }
  /// The waiting line, next first.
  std::vector<const Sequence*> waiting_by_rank(TimePoint now) const;
  /// Displaces the running sequence that ranks last; false if none runs.
  bool preempt_last(TimePoint now);

  /// Whether pages, tables and lines agree; the message says what does not.
  Result<void> check_integrity() const;

 private:
  struct Running {
    Sequence* sequence = nullptr;
    std::int32_t planned = 0;  // tokens in the step being planned
    std::int32_t drafts = 0;   // and so many of its draft
    std::int32_t level = 0;    // in the step being planned
  };
  /// A part of a wave.
  struct Member {
    Sequence* sequence = nullptr;
    std::int32_t num_tokens = 0;
    std::int32_t kept_row = 0;
  };
  struct Rank {
    std::int32_t level = 0;
    std::uint64_t served = 0;
    std::uint64_t arrival = 0;
    auto operator<=>(const Rank&) const = default;
  };

  struct Ranked {
    Rank rank;
    Sequence* sequence = nullptr;
  };
  enum class Admission {
    kAdmitted,
    kPassedOver,  // waits for a prefix that is being computed; others may go before it
    kNoRoom,      // nobody may go before it
  };

  Rank rank(const Sequence& sequence) const;
  void schedule_decodes();
  void schedule_prefills();
  void begin_prefills(std::int32_t num_decodes);
  void plan_layers(std::int32_t num_decodes);
  void schedule_drafts();
  std::int32_t draft_room(Sequence& sequence, std::int32_t wanted);
  void admit();
  Admission try_admit(Sequence& sequence);
  KvCache::Match find_cached(const Sequence& sequence, bool may_copy = true) const;
  bool has_pages_for(const Sequence& sequence, KvCache::Match& match) const;
  bool may_displace(const Sequence& sequence) const;
  bool waits_for_running_prefix(const Sequence& sequence, const KvCache::Match& match) const;
  void emit_plan();
  void plan(Sequence& sequence, std::int32_t num_tokens);
  bool try_plan_prefill(Sequence& sequence, std::int32_t most_tokens);
  bool make_room(Sequence& sequence, std::int32_t num_tokens);
  Running* find_running(const Sequence& sequence);
  std::size_t last_ranked() const;
  void preempt(std::size_t index);
  void leave_wave(const Sequence& sequence);
  const Member* find_member(const Sequence& sequence) const;
  void put_in_line(Sequence& sequence);
  std::int32_t pages_spoken_for(std::size_t group) const;

  KvCache& cache_;
  Options options_;
  StepPacer pacer_;
  FairShare shares_;
  std::vector<Running> running_;    // in order of arrival
  std::vector<Member> wave_;        // those under way between two layers
  std::int32_t wave_layers_ = 0;    // that they have behind them; 0: none is under way
  std::vector<Sequence*> waiting_;  // in order of arrival
  std::vector<ScheduledChunk> chunks_;
  std::vector<Sequence*> newly_started_;
  std::vector<Sequence*> prefilling_;  // of the step being planned
  std::vector<Ranked> line_;           // a heap of those who wait, while some are admitted
  TimePoint now_{};
  std::int32_t budget_left_ = 0;
  std::int32_t prefill_left_ = 0;
  ScheduledLayers layers_;
  double prefill_ = 0.0;  // of the last step, as the pacer counts it
  bool begins_wave_ = false;
  bool preempted_in_step_ = false;
  std::int32_t num_decoding_ = 0;    // of the last step
  std::int32_t num_prefilling_ = 0;  // tokens of the last step
  std::int32_t num_drafts_ = 0;      // of the last step; while planning, those wanted
  std::uint64_t num_preemptions_ = 0;
};

}  // namespace mlxd
