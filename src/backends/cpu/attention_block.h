// The attention of one layer of the fast executor: norm, queries, keys and values, attention over pages,
// output product. Stages are functions that every thread calls, with a barrier between each and the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "backends/cpu/attention.h"
#include "backends/cpu/cpu_adapter.h"
#include "backends/cpu/dense_weights.h"
#include "backends/cpu/kv_pages.h"
#include "backends/cpu/latent_projection.h"
#include "backends/cpu/linear.h"
#include "backends/cpu/linear_loader.h"
#include "backends/cpu/rope_table.h"
#include "backends/cpu/step_work.h"
#include "backends/cpu/step_workspace.h"
#include "base/result.h"
#include "model/model_spec.h"

namespace mlxd {

/// What the attention of all layers shares within a step.
class AttentionWorkspace {
 public:
  AttentionWorkspace(const ModelSpec& spec, KvFormat kv_format, bool touch_pages, std::int32_t num_threads,
                     const StepWorkspace::Options& options);

  /// Any thread: rotations and page addresses of a token.
  void prepare_token(const StepInput& step, std::size_t token);
  std::size_t memory_bytes() const;

  std::vector<KvPages>& pages() { return pages_; }  // by layer group
  /// Pages of the step's tokens in a layer group.
  const PageId* token_pages(std::size_t group) const {
    return token_pages_.data() + group * static_cast<std::size_t>(max_rows_);
  }
  const RopeTable& rope(std::size_t index) const { return ropes_[index]; }
  const float* cosines(std::size_t rope, std::int32_t token) const;
  const float* sines(std::size_t rope, std::int32_t token) const;

  std::ptrdiff_t query_stride() const { return query_stride_; }
  float* queries(std::int32_t token) { return queries_.data() + token * query_stride_; }
  float* attended() { return attended_.data(); }  // [rows, queries]
  float* gates() { return gates_.data(); }        // [rows, queries]
  LatentWorkspace& latent() { return latent_; }
  float* projected(std::int32_t token) { return projected_.data() + token * projected_stride_; }

 private:
  struct Rotation {
    std::vector<float> cosines, sines;  // [max_rows, pairs]
  };

  const std::int32_t max_rows_;
  std::vector<KvPages> pages_;
  std::vector<RopeTable> ropes_;
  std::vector<Rotation> rotations_;  // by rope
  std::vector<PageId> token_pages_;  // [layer group, max_rows]: where a token's K/V go
  std::ptrdiff_t query_stride_ = 0;
  std::ptrdiff_t projected_stride_ = 0;
  std::vector<float> queries_, attended_, gates_, projected_;
  LatentWorkspace latent_;
};

class AttentionBlock {
 public:
  /// `spec`, a layer with attention, must outlive the block. Errors: kUnsupported for head sizes that the
  /// kernels lack.
  static Result<AttentionBlock> create(const LayerSpec& spec, const WeightMap& weights);

  /// Orders the weights; the block must stay where it is until they are loaded.
  Result<void> order(LinearLoader& loader);
  /// Once they are: tells the workspace what the products read.
  void register_products(StepWorkspace& workspace, AttentionWorkspace& shared) const;
  /// Once they are: adds what every step does to a profile's work.
  void count_work(const StepWorkspace& workspace, StepWork& work) const;
  std::size_t weight_bytes() const;
  /// Tells an adapter's builder of the products.
  Result<void> list_products(CpuAdapterBuilder& builder) const;
  void set_attention(PagedAttention* attention) { attention_ = attention; }

  /// Queries, keys and values of normed x; K/V go to their pages.
  void project(const StepInput& step, StepWorkspace& workspace, AttentionWorkspace& shared,
               std::int32_t thread);
  /// One thread, between project() and the barrier after it.
  void begin_output(StepWorkspace& workspace) const {
    workspace.attention_activations().reset(workspace.rows(), spec_->o_proj.in_features);
  }
  void attend(const StepInput& step, StepWorkspace& workspace, AttentionWorkspace& shared,
              std::int32_t thread);
  /// x += the output.
  void add_output(StepWorkspace& workspace, AttentionWorkspace& shared, std::int32_t thread);

 private:
  /// Which of the stacked rows of qkv_ a head's are.
  enum class HeadKind : std::uint8_t { kQuery, kKey, kValue, kGate };
  struct Head {
    HeadKind kind = HeadKind::kQuery;
    std::int32_t index = 0;  // among its kind
  };

  explicit AttentionBlock(const LayerSpec& spec) : layer_(&spec), spec_(&*spec.attention) {}
  std::vector<LinearSpec> qkv_parts() const;
  std::int32_t num_heads() const;  // of all kinds
  Head head_at(std::int32_t index) const;
  bool has_wide_norm() const;
  void normalize_wide(StepWorkspace& workspace, AttentionWorkspace& shared, std::int32_t token) const;
  void write_head(const StepInput& step, const StepWorkspace& workspace, AttentionWorkspace& shared,
                  Head head, std::int32_t token, float* values) const;
  void normalize_head(const StepWorkspace& workspace, Head head, float* values) const;

  const LayerSpec* layer_;
  const AttentionSpec* spec_;
  std::optional<DenseNorm> norm_, post_norm_, q_norm_, k_norm_, v_norm_;
  std::vector<float> sinks_;
  std::optional<LatentProjection> latent_;  // in place of qkv_
  Linear qkv_;                              // queries, keys, values, gates: those there are
  std::vector<float> qkv_bias_;
  Linear o_proj_;
  PagedAttention* attention_ = nullptr;
};

}  // namespace mlxd
