// What CpuBackend asks of a way to compute a forward pass: kFast (fast_executor.h) or kReference
// (reference_executor.h). Called by the engine thread only; compute threads run inside the calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "backends/cpu/kv_pages.h"
#include "engine/step_batch.h"

namespace mlxd {

/// A checked StepBatch with everything said per token; valid during the call it is given to.
struct StepInput {
  const StepBatch* batch = nullptr;
  std::span<const TokenId> tokens;
  std::span<const std::int32_t> positions;
  std::span<const std::int32_t> sequence_indices;  // which sequence a token belongs to
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

  /// Runs all layers over the step's tokens and writes their K/V.
  virtual void forward(const StepInput& step) = 0;
  /// Logits of some tokens of the last forward: logits [token_indices.size(), vocab_size], at most kLogitRows
  /// rows, and each row's peak. With `only_peaks` what is in `logits` afterwards is undefined.
  virtual void compute_logits(std::span<const std::int32_t> token_indices, float* logits,
                              std::span<Peak> peaks, bool only_peaks) = 0;

  /// Rows that one call of compute_logits takes: as many as share a pass over the vocabulary's weights well.
  static constexpr std::size_t kLogitRows = 16;
};

}  // namespace mlxd
