// The forward pass for speed: packed weights with int8 activations (linear.h), K/V pages of any format, fp32
// residual stream. One fork and join for a step; its threads go through five stages a layer, a barrier after
// each: norm + quantize + q,k,v product + rotate + K/V write | attention | quantize + output product +
// residual | norm + quantize + gate,up products + activation + quantize | down product + residual. The
// products whose errors show most (q, k, v and the vocabulary) take 16-bit activations: each row goes in
// twice, what int8 holds of it and what it loses, and the two outputs are added. With few rows each thread
// quantizes for itself, which is cheaper than waiting for the others' share.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "backends/cpu/attention.h"
#include "backends/cpu/executor.h"
#include "backends/cpu/linear.h"
#include "backends/cpu/rope_table.h"
#include "backends/cpu/step_work.h"
#include "backends/cpu/thread_pool.h"
#include "backends/cpu/vector_kernels.h"
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
    std::function<void(float)> progress;
    StepProfile* profile = nullptr;  // outlives the executor
  };
  /// `pool` must outlive the executor. Errors: kCorruptData; kUnsupported for head sizes the kernels lack.
  static Result<std::unique_ptr<FastExecutor>> load(const ModelSpec& spec, const WeightMap& weights,
                                                    ThreadPool& pool, const Options& options);

  std::span<KvPages> pages() override { return pages_; }
  std::size_t weight_bytes() const override;
  std::size_t scratch_bytes() const override;
  void forward(const StepInput& step) override;
  void compute_logits(std::span<const std::int32_t> token_indices, float* logits, std::span<Peak> peaks,
                      bool only_peaks) override;

 private:
  struct Layer {
    std::vector<float> attention_norm, mlp_norm;
    std::vector<float> qkv_bias;  // empty if there is none
    Linear qkv, o_proj, gate_proj, up_proj, down_proj;
    PagedAttention* attention = nullptr;
  };
  /// What one thread writes for itself alone.
  struct ThreadScratch {
    ThreadScratch(std::int32_t max_features, std::size_t piece_floats, const Options& options);
    Activations activations;           // of few rows
    std::vector<float> normed;         // the rows behind them
    std::vector<float> first, second;  // outputs of a piece of a product
    std::vector<Peak> peaks;           // of the rows of compute_logits
  };
  struct Rotation {
    std::vector<float> cosines, sines;  // [max_batch_tokens, pairs]
  };

  FastExecutor(const ModelSpec& spec, ThreadPool& pool, const Options& options);
  Result<void> load_weights(const WeightMap& weights, const Options& options);
  void plan_attention(const Options& options);
  void plan_profile();
  /// Whether a product that needs it gets what 8-bit activations lose as rows of their own.
  bool splits(const Linear& linear) const;
  void end_stage(std::int32_t thread, StepStage stage) {
    if (profile_ != nullptr) profile_->lap(thread, stage);
  }
  void barrier(std::int32_t thread) {
    pool_.barrier();
    end_stage(thread, StepStage::kWait);
  }

  void prepare_tokens(const StepInput& step, std::int64_t begin, std::int64_t end);
  void run_layer(const StepInput& step, std::size_t layer, std::int32_t thread);
  void project_heads(const StepInput& step, std::size_t layer, const Activations& input, std::int32_t thread);
  void write_head(const StepInput& step, const AttentionSpec& attention, std::int32_t head, float* rows,
                  std::size_t stride);
  void run_mlp(std::size_t layer, const Activations& input, std::int32_t thread);
  /// x_ += linear(input)
  void add_product(const Linear& linear, const Activations& input, std::int32_t thread);

  struct Piece;
  void apply_piece(const Linear& linear, const Activations& input, std::int32_t rows, const Piece& piece,
                   std::vector<float>& out) const;
  void add_bias(const std::vector<float>& bias, std::int32_t rows, const Piece& piece,
                std::vector<float>& out) const;
  static bool few_rows(std::int32_t rows, std::int32_t features);
  const Activations& quantize_attended(std::int32_t features, std::int32_t thread);
  const Activations& normalize(const std::vector<float>& weight, float eps, bool split, std::int32_t thread);
  void normalize_row(const float* x, const std::vector<float>& weight, float eps, std::int32_t split_rows,
                     std::int32_t row, float* out) const;
  std::int64_t piece_units(std::int64_t num_units, std::int64_t pieces_per_thread, std::int32_t rows) const;
  void prepare_logits(std::span<const std::int32_t> token_indices);

  const ModelSpec spec_;
  ThreadPool& pool_;
  const VectorKernels& kernels_;
  StepProfile* const profile_;  // or null
  StepWork work_;               // counted if there is a profile
  std::vector<KvPages> pages_;  // by layer group
  std::vector<RopeTable> ropes_;
  std::vector<std::unique_ptr<PagedAttention>> attentions_;  // one for each shape of attention
  std::vector<std::size_t> attention_layers_;                // a layer of that shape
  std::vector<Layer> layers_;
  std::vector<float> final_norm_;
  Linear embedding_;  // empty if tied: then lm_head_ serves
  Linear lm_head_;
  std::vector<float> lm_head_bias_;
  // What the products of all layers read of each kind of activations.
  ActivationForms hidden_forms_{}, attention_forms_{}, mlp_forms_{};

  // The current step.
  std::int32_t rows_ = 0;
  std::vector<PageId> token_pages_;  // [layer group, max_batch_tokens]: where a token's K/V go
  std::vector<Rotation> rotations_;  // by rope
  // Scratch, [max_batch_tokens, features].
  std::vector<float> x_, normed_, queries_, attended_;
  std::ptrdiff_t query_stride_ = 0;
  Activations hidden_activations_, attention_activations_, mlp_activations_;
  std::vector<std::unique_ptr<ThreadScratch>> threads_;
  std::int32_t max_rows_ = 0;
};

}  // namespace mlxd
