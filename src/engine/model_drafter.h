// Guesses what a small model of the same vocabulary says next. It runs on a backend and pages of its own:
// first whatever it has not read of a sequence, in pieces over several steps if that is much, then the draft,
// one token after the other, all sequences together. It draws as the sequence draws, with the same random
// numbers, which agrees with the model more often than its most probable token would.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "engine/backend.h"
#include "engine/drafter.h"
#include "engine/kv_cache.h"

namespace mlxd {

class ModelDrafter : public Drafter {
 public:
  struct Options {
    std::int32_t num_pages = 0;  // as EngineOptions::num_pages
    std::int32_t max_running = 0;
    std::int32_t step_token_budget = 0;
    std::int32_t vocab_size = 0;      // the model's; the backend's may differ if the ids of both agree
    std::int32_t context_tokens = 0;  // longest text that the small model reads
  };
  /// Allocates the pages. Errors: kInvalidArgument (a model with states, which cannot forget wrong guesses),
  /// kOutOfMemory, kInternal (a backend without layer groups).
  static Result<std::unique_ptr<ModelDrafter>> create(std::unique_ptr<Backend> backend,
                                                      const Options& options, const Clock& clock);

  Result<void> propose(std::span<Sequence* const> sequences) override;
  void forget(SequenceId id) override;
  double seconds_per_token(std::int32_t num_sequences) const override;
  Result<void> resize(std::int32_t num_pages) override;
  BackendMemory memory() const override { return backend_->memory(); }

 private:
  /// What the small model has read of a sequence.
  struct Reading {
    bool is_open = false;  // holds pages, or may
    KvCache::Held held;
    std::int32_t num_computed = 0;  // tokens that have K/V
    std::vector<TokenId> tokens;    // these
    std::vector<TokenId> guessed;   // tokens of the last draft after them that have K/V, too
    std::uint64_t client = 0;
    std::uint64_t last_used = 0;  // in which round of propose
  };
  /// A sequence's part of the pass being made.
  struct Part {
    Sequence* sequence = nullptr;
    Reading* reading = nullptr;
    bool samples = false;
  };

  ModelDrafter(std::unique_ptr<Backend> backend, const Options& options, const Clock& clock);

  Reading& open(const Sequence& sequence);
  void take_over_accepted(Reading& reading, const Sequence& sequence);
  bool make_room(Reading& reading, std::int32_t num_tokens);
  void close(Reading& reading);
  Result<void> read_unread(std::span<Sequence* const> sequences);
  void add_unread(Sequence& sequence, std::int32_t& budget_left);
  Result<void> grow_drafts();
  void add_guess(Sequence& sequence, Reading& reading);
  void add_rows(Sequence& sequence, Reading& reading, std::span<const TokenId> tokens, bool samples);
  Result<void> run_pass();
  bool is_known(std::span<const TokenId> tokens) const;

  const Clock& clock_;
  std::unique_ptr<Backend> backend_;
  Options options_;
  std::unique_ptr<KvCache> cache_;
  std::unordered_map<SequenceId, Reading> readings_;
  std::uint64_t round_ = 0;

  // The pass at hand.
  StepBatch batch_;
  StepResult result_;
  std::vector<Part> parts_;
  std::vector<Part> drafting_;  // those whose draft may grow

  static constexpr std::size_t kNumSizes = 8;
  std::array<double, kNumSizes> seconds_{};  // of a pass of one token each, by power of two of their number
};

}  // namespace mlxd
