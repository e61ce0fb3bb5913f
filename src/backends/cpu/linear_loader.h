// Packs the linear layers of a model with all threads: blocks order what they need, then it runs once, in
// pieces of a few megabytes, so that no large matrix holds up the end.
#pragma once

#include <vector>

#include "backends/cpu/linear.h"
#include "backends/cpu/load_progress.h"
#include "backends/cpu/thread_pool.h"
#include "base/result.h"
#include "model/model_spec.h"
#include "model/weight_map.h"

namespace mlxd {

class LinearLoader {
 public:
  /// `weights` must outlive the loader.
  LinearLoader(const WeightMap& weights, Isa isa) : weights_(weights), isa_(isa) {}

  const WeightMap& weights() const { return weights_; }

  /// Orders `parts`, stacked, into `linear`, which must stay where it is until run() returns.
  void add(std::vector<LinearSpec> parts, Linear* linear) { jobs_.push_back({std::move(parts), linear}); }
  /// The same without the parts' biases, which are returned stacked [out_features of all]; empty if none has
  /// one. For products whose rows go in twice: theirs must be added once.
  Result<std::vector<float>> add_without_bias(std::vector<LinearSpec> parts, Linear* linear);

  /// Packs everything, in about the order in which it was ordered, in several runs of the pool, so that
  /// others who share it get their turns between. `progress` is called with 0 … 1 on this thread; if it
  /// returns false the rest is left. Errors: kCorruptData, kUnsupported, kOutOfMemory, kCancelled.
  Result<void> run(ThreadPool& pool, const LoadProgress& progress);

 private:
  struct Job {
    std::vector<LinearSpec> parts;
    Linear* linear;
  };

  const WeightMap& weights_;
  const Isa isa_;
  std::vector<Job> jobs_;
};

}  // namespace mlxd
