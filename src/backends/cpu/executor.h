// What CpuBackend asks of a way to compute a forward pass: kFast (fast_executor.h) or kReference
// (reference_executor.h). Called by the engine thread only; compute threads run inside the calls.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "backends/cpu/cpu_adapter.h"
#include "backends/cpu/kv_pages.h"
#include "base/result.h"
#include "engine/step_batch.h"

namespace mlxd {

/// A checked StepBatch with everything said per token, or the first sequences of one; valid during the call
/// it is given to.
struct StepInput {
  const StepBatch* batch = nullptr;
  std::span<const BatchSequence> sequences;
  std::span<const TokenId> tokens;
  std::span<const std::int32_t> positions;
  std::span<const std::int32_t> sequence_indices;  // which sequence a token belongs to

  StepInput first(std::size_t num_sequences, std::size_t num_tokens) const {
    return {batch, sequences.first(num_sequences), tokens.first(num_tokens), positions.first(num_tokens),
            sequence_indices.first(num_tokens)};
  }
};

/// Layers [first_layer, last_layer) over the sequences that run them.
struct LayerPass {
  StepInput input;
  std::size_t first_layer = 0;
  std::size_t last_layer = 0;
};

/// A step in passes, in order: one; or, around its LayerSlice, up to three.
class LayerPasses {
 public:
  LayerPasses(const StepInput& step, std::size_t num_layers);
  std::span<const LayerPass> passes() const { return std::span(passes_).first(num_passes_); }
  std::size_t num_whole_tokens() const { return num_whole_tokens_; }  // those of no slice, which come first

 private:
  void add(const LayerPass& pass);

  std::array<LayerPass, 3> passes_;
  std::size_t num_passes_ = 0;
  std::size_t num_whole_tokens_ = 0;
};

/// Where the residual stream of sliced sequences waits between steps.
class KeptRows {
 public:
  KeptRows(std::int32_t max_rows, std::int32_t hidden)
      : hidden_(static_cast<std::size_t>(hidden)),
        values_(static_cast<std::size_t>(max_rows) * static_cast<std::size_t>(hidden)) {}

  /// x [hidden] of a token of a sliced sequence, kept or found again.
  void keep(const StepInput& step, std::size_t token, const float* x) {
    std::copy_n(x, hidden_, row(step, token));
  }
  void restore(const StepInput& step, std::size_t token, float* x) const {
    std::copy_n(row(step, token), hidden_, x);
  }
  std::size_t memory_bytes() const { return values_.size() * sizeof(float); }

 private:
  std::size_t offset(const StepInput& step, std::size_t token) const {
    const BatchSequence& sequence = step.sequences[static_cast<std::size_t>(step.sequence_indices[token])];
    return (static_cast<std::size_t>(sequence.kept_row - sequence.first_token) + token) * hidden_;
  }
  float* row(const StepInput& step, std::size_t token) { return values_.data() + offset(step, token); }
  const float* row(const StepInput& step, std::size_t token) const {
    return values_.data() + offset(step, token);
  }

  std::size_t hidden_;
  std::vector<float> values_;  // [max_rows, hidden]
};

/// A row's largest logit; the lowest token id of equal ones. kNoToken if no logit is a number.
struct Peak {
  float logit = 0.0F;
  TokenId token = kNoToken;
};

class Executor {
 public:
  virtual ~Executor() = default;

  virtual std::span<KvPages> pages() = 0;  // by layer group
  virtual std::size_t weight_bytes() const = 0;
  virtual std::size_t scratch_bytes() const = 0;

  /// Runs the layers over the step's tokens, as its slice says, and writes their K/V.
  virtual void forward(const StepInput& step) = 0;
  /// Logits of some tokens of the last forward: logits [token_indices.size(), vocab_size], at most kLogitRows
  /// rows, and each row's peak. With `only_peaks` what is in `logits` afterwards is undefined.
  virtual void compute_logits(std::span<const std::int32_t> token_indices, float* logits,
                              std::span<Peak> peaks, bool only_peaks) = 0;

  /// As in Backend; those attached are of this executor.
  virtual Result<CpuAdapterPtr> prepare_adapter(const Adapter& adapter) const = 0;
  virtual void attach_adapter(AdapterId id, CpuAdapterPtr adapter) = 0;
  virtual void detach_adapter(AdapterId id) = 0;
  virtual std::span<const AdapterId> adapters() const = 0;
  virtual std::size_t adapter_bytes() const = 0;
  virtual std::size_t adapter_scratch_bytes() const = 0;  // of attached ones, of any number, about

  /// Rows that one call of compute_logits takes: as many as share a pass over the vocabulary's weights well.
  static constexpr std::size_t kLogitRows = 16;
};

}  // namespace mlxd
