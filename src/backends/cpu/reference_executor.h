// The forward pass in fp32: the oracle of the fast one. Weights dequantized at load, fp32 activations and K/V
// pages ([token, head_dim], K then V), one plain loop per formula; only the weight products are vectorised. A
// token's result does not depend on the rest of the step here either.
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "backends/cpu/executor.h"
#include "backends/cpu/expert_routing.h"
#include "backends/cpu/load_progress.h"
#include "backends/cpu/reference_recurrence.h"
#include "backends/cpu/reference_weights.h"
#include "backends/cpu/rope_table.h"
#include "backends/cpu/thread_pool.h"
#include "backends/cpu/vector_kernels.h"
#include "base/result.h"
#include "model/model_spec.h"
#include "model/weight_map.h"

namespace mlxd {

class ReferenceExecutor : public Executor {
 public:
  struct Options {
    Isa isa = Isa::kScalar;
    std::int32_t max_batch_tokens = 0;
    /// Pages are fp32 always; another format's rounding is applied to what goes into them.
    KvFormat kv_format = KvFormat::kFloat32;
    bool touch_pages = false;
    LoadProgress progress;
  };
  /// `pool` must outlive the executor. Errors: kCorruptData.
  static Result<std::unique_ptr<ReferenceExecutor>> load(const ModelSpec& spec, const WeightMap& weights,
                                                         ThreadPool& pool, const Options& options);

  std::span<KvPages> pages() override { return pages_; }
  std::size_t weight_bytes() const override;
  std::size_t scratch_bytes() const override;
  void forward(const StepInput& step) override;
  void compute_logits(std::span<const std::int32_t> token_indices, float* logits, std::span<Peak> peaks,
                      bool only_peaks) override;
  Result<CpuAdapterPtr> prepare_adapter(const Adapter& adapter) const override;
  void attach_adapter(AdapterId id, CpuAdapterPtr adapter) override {
    adapters_.attach(id, std::move(adapter));
  }
  void detach_adapter(AdapterId id) override { adapters_.detach(id); }
  std::span<const AdapterId> adapters() const override { return adapters_.ids(); }
  std::size_t adapter_bytes() const override { return adapters_.memory_bytes(); }
  std::size_t adapter_scratch_bytes() const override { return 0; }

 private:
  using Rows = std::vector<float>;  // [rows, features]

  ReferenceExecutor(const ModelSpec& spec, ThreadPool& pool, const Options& options);

  /// y [rows, out_features] = x [rows, in_features] · weightsᵀ + bias, with the adapters of row_adapters_
  void apply(const DenseLinear& linear, const Rows& x, std::size_t rows, Rows& y);
  void normalize(const Rows& x, std::size_t rows, const std::optional<DenseNorm>& norm, Rows& y) const;
  /// x_ += post(y_) · residual_scale
  void add_to_residual(const std::optional<DenseNorm>& post, float scale, std::size_t rows);
  /// What a row's adapter changes of a product; nullptr: nothing.
  const LowRankProduct* row_product(std::size_t row, const DenseLinear& linear) const;
  void adapt(const DenseLinear& linear, const Rows& x, std::size_t rows, Rows& y) const;
  void note_adapters(const StepInput& step);
  void embed(const StepInput& step, std::size_t rows);
  void run_pass(const LayerPass& pass);
  void run_attention(const StepInput& step, const AttentionSpec& spec, const DenseLayer& layer,
                     const Rows& input);
  void run_mixers(const StepInput& step, const LayerSpec& spec, const DenseLayer& layer, const Rows& input);
  void project_latent(const AttentionSpec& attention, const DenseLayer& layer, const Rows& input,
                      std::size_t rows);
  void unembed_latent(const AttentionSpec& attention, const DenseLatent& latent, std::size_t rows);
  void rotate_and_store(const StepInput& step, const AttentionSpec& attention, const DenseLayer& layer);
  void prepare_head(const StepInput& step, const AttentionSpec& attention, std::size_t token, bool is_query,
                    const DenseLayer& layer, float* heads);
  void attend(const StepInput& step, const AttentionSpec& attention, const DenseLayer& layer);
  void attend_row(const StepInput& step, const AttentionSpec& attention, const DenseLayer& layer,
                  std::size_t token, std::int32_t head, std::vector<float>& scores);
  void run_mlp(const MlpSpec& spec, const DenseMlp& mlp, const Rows& input, std::size_t rows, Rows& y);
  void route(const MoeSpec& spec, const DenseMoe& moe, const Rows& input, std::size_t rows,
             std::vector<ChosenExpert>& chosen);
  void run_moe(const MoeSpec& spec, const DenseMoe& moe, const Rows& input, std::size_t rows, Rows& y);
  void make_layer_inputs(const StepInput& step);
  /// What follows a layer's MLP: its own input, its scale.
  void finish_layer(std::size_t index, std::size_t rows);
  float* kv_block(const StepInput& step, const AttentionSpec& attention, std::size_t token,
                  std::int32_t position, std::int32_t kv_head) const;

  const ModelSpec spec_;
  ThreadPool& pool_;
  const VectorKernels& kernels_;
  const KvFormat kv_format_;
  std::vector<KvPages> pages_;  // by layer group
  std::vector<RopeTable> ropes_;
  DenseModel model_;
  AttachedAdapters adapters_;
  std::vector<const CpuAdapter*> step_adapters_;     // of the step's rows; empty: none has one
  std::span<const CpuAdapter* const> row_adapters_;  // of the rows of the products at hand
  KeptRows kept_rows_;
  // Scratch, [max_batch_tokens, features].
  Rows x_, normed_, q_, k_, v_, attended_, head_gates_, gate_, up_, y_;
  // Of latent attention.
  Rows compressed_, head_queries_, head_outputs_;
  Rows layer_inputs_, layer_gates_;  // [rows, layers · dim], [rows, dim]
  ReferenceRecurrence recurrence_;
  // Of experts.
  Rows router_logits_, expert_input_, expert_output_, shared_gates_;
  RoutingScratch routing_;
  std::vector<std::vector<float>> scores_;  // by thread, [context_tokens]
};

}  // namespace mlxd
