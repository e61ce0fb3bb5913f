// A second, thin backend: the same ModelSpec as a graph of MLX's own operations on its CPU device, in fp32.
// It is there to prove that the Backend interface fits a device that is not ours and to give an independent
// result to compare with, not to be fast. Pages are gathered for attention and written by scatter; sampling
// is the engine's Sampler on the host.
//
// One thread loads it and calls it: MLX's streams belong to the thread that made them. Other threads get an
// error. submit starts a step and returns; collect waits for it. The next step may be submitted before.
//
// It promises logits close to the native backend's reference, not the same bits in any company.
#pragma once

#include <functional>
#include <memory>

#include "base/result.h"
#include "engine/backend.h"
#include "model/model_folder.h"

namespace mlxd {

struct MlxOptions {
  std::int32_t max_batch_tokens = 512;
  std::int32_t max_batch_sequences = 64;
  /// Called with 0 … 1 while weights are read; may be empty.
  std::function<void(float)> progress{};
};

class MlxBackend : public Backend {
 public:
  /// Copies all weights into MLX's memory, dropping each source tensor's pages as it goes. Errors:
  /// kCorruptData for NaN or infinite scales and dense values, naming the tensor; kUnsupported (what MLX
  /// cannot do, another version of its library than this was built with).
  static Result<std::unique_ptr<MlxBackend>> load(const ModelFolder& model, const MlxOptions& options = {}) {
    return load(model.spec(), model.weights(), options);
  }
  static Result<std::unique_ptr<MlxBackend>> load(const ModelSpec& spec, const WeightMap& weights,
                                                  const MlxOptions& options = {});
};

}  // namespace mlxd
