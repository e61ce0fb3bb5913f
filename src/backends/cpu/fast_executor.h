// The forward pass for speed: packed weights with int8 activations (linear.h), K/V pages of any format, fp32
// residual stream. One fork and join for a step; its threads go through a few stages a layer with a barrier
// after each, five for a plain one: norm + quantize + q,k,v product + rotate + K/V write | attention |
// quantize + output product + residual | norm + quantize + gate,up products + activation + quantize | down
// product + residual. The blocks (attention_block.h, mlp_block.h, moe_block.h) hold a layer's weights and
// know its stages. The products whose errors show most (q, k, v and the vocabulary) take 16-bit activations:
// each row goes in twice, what int8 holds of it and what it loses, and the two outputs are added. With few
// rows each thread quantizes for itself, which is cheaper than waiting for the others' share.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "backends/cpu/attention.h"
#include "backends/cpu/attention_block.h"
#include "backends/cpu/executor.h"
#include "backends/cpu/linear.h"
#include "backends/cpu/linear_loader.h"
#include "backends/cpu/load_progress.h"
#include "backends/cpu/mlp_block.h"
#include "backends/cpu/moe_block.h"
#include "backends/cpu/per_layer_inputs.h"
#include "backends/cpu/recurrent_block.h"
#include "backends/cpu/step_work.h"
#include "backends/cpu/step_workspace.h"
#include "backends/cpu/thread_pool.h"
#include "base/result.h"
#include "engine/step_profile.h"
#include "model/model_spec.h"
#include "model/weight_map.h"

namespace mlxd {

class FastExecutor : public Executor {
 public:
  struct Options {
    Isa isa = Isa::kScalar;
    std::int32_t max_batch_tokens = 0;
    std::int32_t max_batch_sequences = 0;
    KvFormat kv_format = KvFormat::kFloat16;
    std::int32_t activation_bits = 8;  // or 16
    bool touch_pages = false;
    LoadProgress progress;
    StepProfile* profile = nullptr;  // outlives the executor
  };
  /// `pool` must outlive the executor. Errors: kCorruptData; kUnsupported for head sizes the kernels lack.
  static Result<std::unique_ptr<FastExecutor>> load(const ModelSpec& spec, const WeightMap& weights,
                                                    ThreadPool& pool, const Options& options);

  std::span<KvPages> pages() override { return attention_workspace_.pages(); }
  std::size_t weight_bytes() const override;
  std::size_t scratch_bytes() const override;
  void forward(const StepInput& step) override;
  void compute_logits(std::span<const std::int32_t> token_indices, float* logits, std::span<Peak> peaks,
                      bool only_peaks) override;
  Result<CpuAdapterPtr> prepare_adapter(const Adapter& adapter) const override;
  void attach_adapter(AdapterId id, CpuAdapterPtr adapter) override;
  void detach_adapter(AdapterId id) override;
  std::span<const AdapterId> adapters() const override { return workspace_.adapters().attached().ids(); }
  std::size_t adapter_bytes() const override { return workspace_.adapters().memory_bytes(); }
  std::size_t adapter_scratch_bytes() const override { return workspace_.adapters().most_inner_bytes(); }

 private:
  /// At most one of `mlp` and `moe`.
  struct Layer {
    const LayerSpec* spec = nullptr;
    std::unique_ptr<AttentionBlock> attention;
    std::unique_ptr<RecurrentBlock> recurrent;
    std::optional<DenseNorm> mlp_norm, mlp_post_norm;
    std::unique_ptr<MlpBlock> mlp;
    std::unique_ptr<MoeBlock> moe;
    std::optional<float> output_scale;
  };

  FastExecutor(const ModelSpec& spec, ThreadPool& pool, const Options& options);
  Result<void> load_weights(const WeightMap& weights, const Options& options);
  Result<void> make_layer(const LayerSpec& spec, LinearLoader& loader);
  void plan_attention(const Options& options);
  void plan_profile();
  const Linear& token_embedding() const { return spec_.tied_embeddings ? lm_head_ : embedding_; }

  void prepare_tokens(const StepInput& step, std::size_t num_whole_tokens, std::int64_t begin,
                      std::int64_t end);
  void run_pass(const LayerPass& pass, std::int32_t thread);
  void run_layer(const StepInput& step, Layer& layer, std::int32_t thread);
  void run_mixers(const StepInput& step, Layer& layer, std::int32_t thread);
  void run_feed_forward(Layer& layer, std::int32_t thread);
  void run_mlp_up(Layer& layer, std::int32_t thread);
  void run_parallel_layer(const StepInput& step, Layer& layer, std::int32_t thread);
  void prepare_logits(std::span<const std::int32_t> token_indices);

  const ModelSpec spec_;
  ThreadPool& pool_;
  StepProfile* const profile_;  // or null
  StepWork work_;               // counted if there is a profile
  StepWorkspace workspace_;
  AttentionWorkspace attention_workspace_;
  RecurrentWorkspace recurrent_workspace_;
  MoeWorkspace moe_workspace_;
  KeptRows kept_rows_;
  std::vector<std::unique_ptr<PagedAttention>> attentions_;  // one for each shape of attention
  std::vector<std::size_t> attention_layers_;                // a layer of that shape
  std::vector<Layer> layers_;
  Linear embedding_;  // empty if tied: then lm_head_ serves
  Linear position_embedding_;
  std::optional<DenseNorm> embedding_norm_;
  std::unique_ptr<PerLayerInputs> per_layer_inputs_;  // or null
  DenseNorm final_norm_;
  Linear lm_head_;
  std::vector<float> lm_head_bias_;
  std::vector<float> positions_scratch_;  // [max_batch_tokens, hidden] if there are learned positions
};

}  // namespace mlxd
