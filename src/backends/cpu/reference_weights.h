// A spec's weights in fp32, for the reference executor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "backends/cpu/dense_weights.h"
#include "backends/cpu/expert_routing.h"
#include "backends/cpu/load_progress.h"
#include "backends/cpu/recurrent_weights.h"
#include "base/result.h"
#include "model/model_spec.h"
#include "model/weight_map.h"

namespace mlxd {

struct DenseLinear {
  std::int32_t in_features = 0;
  std::int32_t out_features = 0;
  std::vector<float> weights;  // [out_features, in_features]
  std::vector<float> bias;     // empty if there is none
};

struct DenseMlp {
  std::optional<DenseLinear> gate_proj;
  DenseLinear up_proj, down_proj;
};

struct DenseMoe {
  DenseLinear router;     // times its scales
  RouterWeights routing;  // the rest of it
  std::vector<DenseMlp> experts;
  std::optional<DenseMlp> shared;
  std::optional<DenseLinear> shared_gate;
  std::optional<DenseNorm> shared_norm, shared_post_norm, experts_post_norm;
};

struct DensePerLayerEmbedding {
  DenseLinear embedding, projection;
  DenseNorm projection_norm;
};

struct DensePerLayerInput {
  DenseLinear gate, projection;
  std::optional<DenseNorm> post_norm;
};

struct DenseLatent {
  std::optional<DenseLinear> q_a_proj;
  std::optional<DenseNorm> q_a_norm;
  DenseLinear kv_a_proj;
  DenseNorm kv_a_norm;
  DenseLinear embed_q;  // [heads · latent_dim, nope_dim], however it is stored
  DenseLinear unembed_out;
};

struct DenseRecurrent {
  std::vector<DenseLinear> inputs;
  std::optional<DenseLinear> input_gate_proj, decay_proj, beta_proj;
  DenseLinear gate_proj, out_proj;
  RecurrentWeights rest;
};

struct DenseLayer {
  std::optional<DenseNorm> attention_norm, attention_post_norm, mlp_norm, mlp_post_norm;
  std::optional<DenseNorm> q_norm, k_norm, v_norm;
  DenseLinear q_proj, o_proj;
  std::optional<DenseLinear> k_proj, v_proj, gate_proj;
  std::optional<DenseLatent> latent;
  std::optional<DenseRecurrent> recurrent;
  std::vector<float> sinks;
  std::optional<DenseMlp> mlp;
  std::optional<DenseMoe> moe;
  std::optional<DensePerLayerInput> per_layer_input;
  float output_scale = 1.0F;
};

struct DenseModel {
  DenseLinear embedding;
  std::optional<DenseLinear> position_embedding;
  std::optional<DenseNorm> embedding_norm;
  std::optional<DensePerLayerEmbedding> per_layer_embedding;
  std::vector<DenseLayer> layers;
  DenseNorm final_norm;
  std::optional<DenseLinear> lm_head;  // absent if tied: then the embedding serves
  std::size_t num_floats = 0;

  /// Errors: kCorruptData, kUnsupported. `progress` may be empty.
  static Result<DenseModel> read(const ModelSpec& spec, const WeightMap& weights,
                                 const LoadProgress& progress);
};

}  // namespace mlxd
