// What multi-head latent attention does around the attention itself (LatentSpec), for one layer of the fast
// executor: from normed x to latents, shared keys and the heads' queries in the latents' space, and from what
// the heads attended to back to the output product's input. The attention between the two is that of one K/V
// head. Stages are functions that every thread calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "backends/cpu/cpu_adapter.h"
#include "backends/cpu/dense_weights.h"
#include "backends/cpu/linear.h"
#include "backends/cpu/linear_loader.h"
#include "backends/cpu/step_work.h"
#include "backends/cpu/step_workspace.h"
#include "base/result.h"
#include "model/model_spec.h"

namespace mlxd {

class AttentionWorkspace;

/// What the latent attention of all layers shares within a step; empty if no layer has it.
class LatentWorkspace {
 public:
  LatentWorkspace(const ModelSpec& spec, std::int32_t num_threads, const StepWorkspace::Options& options);
  std::size_t memory_bytes() const;

 private:
  friend class LatentProjection;

  /// For some rows of one head.
  struct ThreadScratch {
    ThreadScratch(std::int32_t max_features, std::int32_t max_outputs, const StepWorkspace::Options& options);
    Activations activations;
    std::vector<float> halves;   // [2 · rows, features]: what int8 holds of them, and what it loses
    std::vector<float> outputs;  // [2 · rows, outputs]
    std::vector<float> inner;    // [rows, kMaxAdapterRank]
  };

  std::ptrdiff_t projected_stride_ = 0;
  std::ptrdiff_t queries_stride_ = 0;
  std::vector<float> projected_;     // [max_rows]: compressed queries (or queries), latent, shared key
  std::vector<float> query_input_;   // [2 · max_rows, q_a_proj's outputs]: normed
  std::vector<float> head_queries_;  // [max_rows]: of all heads
  std::vector<float> head_outputs_;  // [max_rows]: of all heads
  std::optional<SharedActivations> query_activations_;
  std::vector<std::unique_ptr<ThreadScratch>> threads_;
};

class LatentProjection {
 public:
  /// `spec`, whose `latent` is present, must outlive the projection. Errors: kCorruptData.
  static Result<LatentProjection> create(const AttentionSpec& spec, const WeightMap& weights);

  /// Orders the weights; the projection must stay where it is until they are loaded.
  Result<void> order(LinearLoader& loader);
  /// Once they are: tells the workspaces what the products read.
  void register_products(StepWorkspace& workspace, LatentWorkspace& shared) const;
  /// Once they are: adds what every step does to a profile's work.
  void count_work(const StepWorkspace& workspace, StepWork& work) const;
  /// Tells an adapter's builder of the products that it may change.
  Result<void> list_products(CpuAdapterBuilder& builder) const;
  std::size_t weight_bytes() const;

  /// Keys, values and queries of norm(x), as AttentionBlock::project. Passes barriers, none at the end.
  void project(const StepInput& step, StepWorkspace& workspace, AttentionWorkspace& shared,
               const DenseNorm* norm, std::int32_t thread) const;
  /// What the heads attended to, out of the latents' space: the output product's input, whole only after the
  /// barrier that follows.
  void project_back(StepWorkspace& workspace, AttentionWorkspace& shared, std::int32_t thread) const;
  static const float* outputs(AttentionWorkspace& shared);

 private:
  explicit LatentProjection(const AttentionSpec& spec) : spec_(&spec), latent_(&*spec.latent) {}

  std::vector<LinearSpec> down_parts() const;
  bool compresses_queries() const { return latent_->q_a_proj.has_value(); }
  std::int32_t query_dim() const { return latent_->nope_dim + latent_->rope_dim; }
  void store_token(const StepInput& step, const StepWorkspace& workspace, AttentionWorkspace& shared,
                   std::int32_t token) const;
  void embed_queries(const StepInput& step, StepWorkspace& workspace, AttentionWorkspace& shared,
                     std::int32_t head, std::int32_t first_row, std::int32_t last_row,
                     std::int32_t thread) const;

  const AttentionSpec* spec_;
  const LatentSpec* latent_;
  std::optional<DenseNorm> q_norm_;
  DenseNorm kv_norm_;
  Linear down_;  // compressed queries (or queries), latents, shared keys: what reads x
  std::vector<float> down_bias_;
  Linear q_proj_;                     // of compressed queries; empty if queries are not compressed
  Linear embed_q_;                    // of all heads, stacked; empty if embed_q_dense_ serves
  std::vector<float> embed_q_dense_;  // [heads, latent_dim, nope_dim]
  Linear unembed_out_;                // of all heads, stacked
};

}  // namespace mlxd
