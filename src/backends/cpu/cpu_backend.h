// The native CPU engine: a forward over a ModelSpec with paged K/V and sampling in the step. Called from one
// engine thread; its own compute threads run only inside load and submit.
//
// Two ways to compute. kFast: weights repacked to 16-row blocks, int8 activations per group of 32, fp32
// between groups, K/V in a format of choice. kReference: everything in fp32, K/V too; slow, the oracle of the
// other. In both, a token's result does not depend on the other rows of the step nor on how its prompt was
// cut into steps.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "backends/cpu/isa.h"
#include "backends/cpu/kv_block.h"
#include "base/result.h"
#include "engine/backend.h"
#include "engine/step_profile.h"
#include "model/model_folder.h"

namespace mlxd {

class ThreadPool;

enum class CpuPrecision { kFast, kReference };

struct CpuOptions {
  CpuPrecision precision = CpuPrecision::kFast;
  std::int32_t num_threads = 0;  // 0: one per physical core
  /// Shared with other backends, which take turns by the step; in place of num_threads.
  std::shared_ptr<ThreadPool> share_threads{};
  std::optional<Isa> isa{};  // absent: the best this machine has
  std::int32_t max_batch_tokens = 512;
  std::int32_t max_batch_sequences = 64;
  /// Absent: kFloat16, and for kReference kFloat32.
  std::optional<KvFormat> kv_format{};
  /// Precision of the activations that meet integer weights in kFast: 8 or 16 bits in groups of 32. 16 makes
  /// them as good as exact for twice the arithmetic; few rows at a time wait for memory and are as fast.
  std::int32_t activation_bits = 8;
  /// Backs K/V pages with memory when resize_pages() makes them, so that resident memory does not grow with
  /// use.
  bool touch_pages = false;
  /// Called with 0 … 1 while weights are read, on the loading thread; may be empty.
  std::function<void(float)> progress{};
  /// Loading stops when it is set; may be null.
  const std::atomic<bool>* stop = nullptr;
  /// If set, told where the time of a step goes (kFast by stages); it must outlive the backend.
  StepProfile* profile = nullptr;
};

class CpuBackend : public Backend {
 public:
  /// Reads and repacks all weights, dropping each source tensor's pages as it goes. Errors: kCorruptData for
  /// NaN or infinite scales and dense values, naming the tensor; kOutOfMemory; kUnsupported; kCancelled
  /// (stopped).
  static Result<std::unique_ptr<CpuBackend>> load(const ModelFolder& model, CpuOptions options);

  virtual std::shared_ptr<ThreadPool> threads() const = 0;
};

}  // namespace mlxd
