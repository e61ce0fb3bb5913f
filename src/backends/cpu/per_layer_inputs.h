// Per-layer inputs of the fast executor (PerLayerEmbeddingSpec): each layer adds to the residual stream what
// it makes of an input of its own, which comes of the token's id and embedding. Stages are functions that
// every thread calls, with a barrier between each and the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "backends/cpu/cpu_adapter.h"
#include "backends/cpu/dense_weights.h"
#include "backends/cpu/linear.h"
#include "backends/cpu/linear_loader.h"
#include "backends/cpu/step_work.h"
#include "backends/cpu/step_workspace.h"
#include "base/result.h"
#include "engine/step_batch.h"
#include "model/model_spec.h"

namespace mlxd {

class PerLayerInputs {
 public:
  /// `spec`, whose per_layer_embedding is present, must outlive them. Errors: kCorruptData.
  static Result<std::unique_ptr<PerLayerInputs>> create(const ModelSpec& spec, const WeightMap& weights,
                                                        const StepWorkspace::Options& options);

  /// Orders the weights.
  void order(LinearLoader& loader);
  /// Once they are there: tells the workspace what the products read.
  void register_products(StepWorkspace& workspace);
  /// Once they are there: adds what every step does to a profile's work.
  void count_work(const StepWorkspace& workspace, StepWork& work) const;
  /// Tells an adapter's builder of the layers' products.
  Result<void> list_products(CpuAdapterBuilder& builder) const;
  std::size_t weight_bytes() const;
  std::size_t memory_bytes() const;

  /// Any thread: what a row's inputs get from its token's id.
  void prepare_token(const StepWorkspace& workspace, TokenId token, std::int32_t row);
  /// The rest, from the embeddings, which are still the workspace's x.
  void project(StepWorkspace& workspace, std::int32_t thread);
  /// x += what a layer makes of its input.
  void add_to(StepWorkspace& workspace, std::size_t layer, std::int32_t thread);

 private:
  struct Layer {
    Linear gate, projection;
    DenseNorm post_norm;
  };

  PerLayerInputs(const ModelSpec& spec, const StepWorkspace::Options& options);

  const ModelSpec* spec_;
  const PerLayerEmbeddingSpec* embedding_spec_;
  const std::int32_t width_;  // of the inputs of all layers
  Linear embedding_, projection_;
  DenseNorm projection_norm_;
  std::vector<Layer> layers_;
  std::vector<float> inputs_, projected_;  // [max_rows, width_]
  std::vector<float> gates_;               // [max_rows, dim]
  SharedActivations gate_activations_;
};

}  // namespace mlxd
