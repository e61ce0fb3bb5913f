// A backend without a model, for tests of everything above it. Its K/V are real in kind: each slot of each
// page remembers which token was written at which position, and the logits after a prefix are a hash of all
// its tokens, read through the page table. So a page mixed up, freed too early, or not written changes the
// answer or fails the step. A page of states holds, for each layer, how many tokens it has seen and their
// hash; a step goes on from exactly those before its first token, or fails. Not thread-safe, as every
// backend; `on_submit` and the fault switches are set before the engine runs, or from within on_submit.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "engine/backend.h"
#include "engine/sampler.h"

namespace mlxd::testing {

class FakeBackend : public Backend {
 public:
  static constexpr std::int32_t kState = -1;

  struct Options {
    std::int32_t vocab_size = 97;
    std::int32_t max_batch_tokens = 512;
    std::int32_t max_batch_sequences = 64;
    std::int32_t max_pages = 1 << 20;  // resize_pages beyond: kOutOfMemory
    std::int32_t num_layers = 0;       // at which steps may be cut
    /// By layer group; 0: it keeps everything; kState: its pages hold states.
    std::vector<std::int32_t> windows = {0};
    std::size_t state_page_bytes = 64;  // said of pages of states
    std::uint64_t model_seed = 1;       // another seed is another model
    /// If set, a token that a prefix makes probable; kNoToken: none, all is the hash.
    std::function<TokenId(std::span<const TokenId> prefix)> script = {};
    /// Its logit; the hashed ones are between -4 and 4.
    float script_logit = 100.0F;
    std::size_t adapter_bytes = 1 << 20;  // that each takes
    /// Called at the start of each submit; an error is the step's.
    std::function<Result<void>(const StepBatch&)> on_submit = {};
    /// Called at the start of each collect; an error is the step's.
    std::function<Result<void>()> on_collect = {};
  };

  explicit FakeBackend(Options options);

  const BackendInfo& info() const override { return info_; }
  BackendMemory memory() const override;
  Result<void> resize_pages(std::size_t group, std::int32_t num_pages) override;
  Result<void> copy_pages(std::size_t group, std::span<const PageCopy> copies) override;
  Result<StepHandle> submit(const StepBatch& batch) override;
  Result<void> collect(StepHandle handle, StepResult& result) override;
  /// Any will do: which one it was is in the logits by its id.
  Result<PreparedAdapterPtr> prepare_adapter(const Adapter& adapter) const override;
  Result<void> attach_adapter(AdapterId id, PreparedAdapterPtr adapter) override;
  void detach_adapter(AdapterId id) override;

 private:
  struct Slot {
    TokenId token = kNoToken;
    std::int32_t position = -1;
    std::uint64_t written_in_step = 0;
    std::uint64_t prefix_hash = 0;  // of all tokens up to this one
    std::int32_t layers = 0;        // that it has been through
    AdapterId adapter = kNoAdapter;
  };
  /// What a sliced token's row has to go on with.
  struct KeptRow {
    TokenId token = kNoToken;
    std::int32_t position = -1;
    std::int32_t layers = 0;
  };
  struct Layers {
    std::int32_t first = 0;
    std::int32_t last = 0;
  };
  struct State {
    std::int32_t num_tokens = -1;
    std::uint64_t hash = 0;  // of these, as Slot::prefix_hash
    bool operator==(const State&) const = default;
  };
  struct StatePage {
    std::vector<State> layers;
    std::uint64_t used_in_step = 0;
    std::int32_t user = -1;  // its sequence in the step
    bool is_written = false;
  };

  Result<void> check_shape(const StepBatch& batch) const;
  Result<void> check_table(const StepBatch& batch, const BatchSequence& sequence, std::size_t group) const;
  Result<void> check_slice(const StepBatch& batch) const;
  Result<void> write_tokens(const StepBatch& batch, const BatchSequence& sequence, Layers layers);
  Result<void> write_token(const StepBatch& batch, const BatchSequence& sequence, std::size_t group,
                           std::int32_t position, TokenId token, Layers layers);
  Result<void> read_prefix(const StepBatch& batch, const BatchSequence& sequence, std::int32_t last_position);
  Result<State> read_state(const StepBatch& batch, const BatchSequence& sequence, std::size_t group,
                           Layers layers, std::int32_t layer);
  Result<void> run_states(const StepBatch& batch, const BatchSequence& sequence, std::size_t group,
                          Layers layers);
  Result<StatePage*> use_state_page(const StepBatch& batch, const BatchSequence& sequence, std::size_t group,
                                    std::int32_t entry, bool writes);
  void compute_logits();
  bool is_state(std::size_t group) const { return options_.windows[group] == kState; }
  Slot& slot(const StepBatch& batch, const BatchSequence& sequence, std::size_t group, std::int32_t position);

  Options options_;
  BackendInfo info_;
  Sampler sampler_;
  std::vector<AdapterId> adapters_;
  std::vector<std::vector<Slot>> slots_;                  // by group, [pages, kPageTokens]
  std::vector<std::vector<StatePage>> states_;            // by group, [pages]
  std::vector<std::vector<std::uint64_t>> state_hashes_;  // by group, [tokens of the step]: in its last layer
  std::size_t first_kv_group_ = 0;
  std::vector<KeptRow> kept_rows_;  // [max_batch_tokens]
  std::uint64_t step_ = 0;
  std::optional<StepHandle> in_flight_;
  StepResult in_flight_result_;
  std::vector<SampledToken> previous_samples_;
  std::vector<TokenId> prefix_;
  std::uint64_t hash_ = 0;
  std::vector<float> logits_;
};

}  // namespace mlxd::testing
