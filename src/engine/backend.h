// The device under the engine, at the level of a whole step: never op by op. A backend owns weights, K/V
// memory and scratch. One thread (the engine's) calls it. Loading is each backend's own factory function.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "engine/step_batch.h"

namespace mlxd {

struct BackendInfo {
  std::string name;  // "cpu (avx512-vnni, 2 threads)"
  std::int32_t vocab_size = 0;
  std::int32_t max_batch_tokens = 0;     // most tokens in a step
  std::int32_t max_batch_sequences = 0;  // most sequences in a step
  std::size_t page_bytes = 0;            // K/V bytes of one page over all layers of all groups
};

struct BackendMemory {
  std::size_t weight_bytes = 0;
  std::size_t page_bytes = 0;  // allocated for K/V
  std::size_t scratch_bytes = 0;
};

struct PageCopy {
  PageId from = 0;
  PageId to = 0;
};

class Backend {
 public:
  /// Names a submitted step; collected in order of submission.
  using StepHandle = std::uint64_t;

  virtual ~Backend() = default;

  virtual const BackendInfo& info() const = 0;
  virtual BackendMemory memory() const = 0;

  /// Makes pages [0, num_pages) usable, keeping the contents of those that already are. Errors: kOutOfMemory.
  virtual Result<void> allocate_pages(std::int32_t num_pages) = 0;
  /// Copies whole pages (all layers), in order.
  virtual Result<void> copy_pages(std::span<const PageCopy> copies) = 0;

  /// Starts a step. `batch` must stay unchanged until collected. Errors: kUnavailable (device lost),
  /// kInternal.
  virtual Result<StepHandle> submit(const StepBatch& batch) = 0;
  /// Waits for the oldest submitted step, which must be `handle`, and fills `result` (cleared first).
  virtual Result<void> collect(StepHandle handle, StepResult& result) = 0;
};

}  // namespace mlxd
