// The forward pass of MlxBackend and the K/V it reads and writes: everything that calls MLX, behind plain
// values, because MLX's headers are heavy and its exceptions are to stop in one file. Called by the thread
// that loaded it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/backend.h"
#include "engine/step_batch.h"
#include "model/model_spec.h"
#include "model/weight_map.h"

namespace mlxd {

class MlxExecutor {
 public:
  /// Errors: kCorruptData, kUnsupported. Keeps a copy of the spec.
  static Result<std::unique_ptr<MlxExecutor>> load(const ModelSpec& spec, const WeightMap& weights,
                                                   const std::function<void(float)>& progress);
  ~MlxExecutor();

  std::size_t weight_bytes() const;
  /// Pages of each layer group, and K/V bytes of one.
  std::span<const std::int32_t> num_pages() const;
  const std::vector<PageGroupInfo>& page_groups() const;

  /// As in Backend. Both wait until the work is done.
  Result<void> resize_pages(std::size_t group, std::int32_t num_pages);
  Result<void> copy_pages(std::size_t group, std::span<const PageCopy> copies);

  /// Starts a checked step and returns; `tokens` are its tokens, all known. Nothing of the arguments is kept.
  /// Errors: kInternal (the step cannot be built; nothing has changed), kUnavailable (MLX failed while
  /// computing: the K/V are not to be trusted, and every later call fails).
  Result<void> start(const StepBatch& batch, std::span<const TokenId> tokens);
  /// Waits for the oldest started step and gives the logits [batch.samples.size(), vocab_size] of its rows.
  Result<void> finish(std::vector<float>& logits);

 private:
  struct State;
  explicit MlxExecutor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace mlxd
