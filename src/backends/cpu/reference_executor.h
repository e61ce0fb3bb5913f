// The forward pass in fp32: the oracle of the fast one. Weights dequantized at load, fp32 activations and K/V
// pages ([token, head_dim], K then V), one plain loop per formula; only the weight products are vectorised. A
// token's result does not depend on the rest of the step here either.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "backends/cpu/executor.h"
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
    std::function<void(float)> progress;
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

 private:
  struct DenseLinear {
    std::int32_t in_features = 0;
    std::int32_t out_features = 0;
    std::vector<float> weights;  // [out_features, in_features]
    std::vector<float> bias;     // empty if there is none
  };
  struct Layer {
    std::vector<float> attention_norm, mlp_norm;
    DenseLinear q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj;
  };

  ReferenceExecutor(const ModelSpec& spec, ThreadPool& pool, const Options& options);
  static Result<DenseLinear> read(const LinearSpec& spec, const WeightMap& weights);

  /// y [rows, out_features] = x [rows, in_features] · weightsᵀ + bias
  void apply(const DenseLinear& linear, const std::vector<float>& x, std::size_t rows, std::vector<float>& y);
  void normalize(const std::vector<float>& x, std::size_t rows, const std::vector<float>& weight, float eps,
                 std::vector<float>& y);
  void rotate_and_store(const StepInput& step, const AttentionSpec& attention);
  void attend(const StepInput& step, const AttentionSpec& attention);
  void attend_row(const StepInput& step, const AttentionSpec& attention, std::size_t token, std::int32_t head,
                  std::vector<float>& scores);
  float* kv_block(const StepInput& step, const AttentionSpec& attention, std::size_t token,
                  std::int32_t position, std::int32_t kv_head) const;

  const ModelSpec spec_;
  ThreadPool& pool_;
  const VectorKernels& kernels_;
  const KvFormat kv_format_;
  std::vector<KvPages> pages_;  // by layer group
  std::vector<RopeTable> ropes_;
  std::vector<float> embedding_;
  std::vector<Layer> layers_;
  std::vector<float> final_norm_;
  DenseLinear lm_head_;  // empty if tied: then the embedding serves
  // Scratch, [max_batch_tokens, features].
  std::vector<float> x_, normed_, q_, k_, v_, attended_, gate_, up_, y_;
  std::vector<std::vector<float>> scores_;  // by thread, [context_tokens]
};

}  // namespace mlxd
