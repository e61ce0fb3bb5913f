// Walks all modules of a spec that have tensors, for whoever loads, checks or counts them.
#pragma once

#include <cstdint>
#include <string>

#include "model/model_spec.h"

namespace mlxd {

/// Calls linear(LinearSpec) for every linear layer and embedding, norm(NormSpec) for every norm, and
/// vector(tensor name, size) for every other tensor; parts of one stored tensor one by one.
template <typename Linear, typename Norm, typename Vector>
class ModuleWalk {
 public:
  ModuleWalk(const Linear& linear, const Norm& norm, const Vector& vector)
      : linear_(linear), norm_(norm), vector_(vector) {}

  void walk(const ModelSpec& spec) const {
    linear_(spec.embedding);
    visit(spec.position_embedding);
    visit(spec.embedding_norm);
    if (spec.per_layer_embedding) {
      linear_(spec.per_layer_embedding->embedding);
      linear_(spec.per_layer_embedding->projection);
      norm_(spec.per_layer_embedding->projection_norm);
    }
    for (const LayerSpec& layer : spec.layers) walk(layer);
    norm_(spec.final_norm);
    if (!spec.tied_embeddings) linear_(spec.lm_head);
  }

  void walk(const LayerSpec& layer) const {
    for (const auto* norm :
         {&layer.attention_norm, &layer.attention_post_norm, &layer.mlp_norm, &layer.mlp_post_norm}) {
      visit(*norm);
    }
    if (layer.attention) walk(*layer.attention);
    if (layer.recurrent) walk(*layer.recurrent);
    if (layer.mlp) walk(*layer.mlp);
    if (layer.moe) walk(*layer.moe);
    if (layer.per_layer_input) {
      linear_(layer.per_layer_input->gate);
      linear_(layer.per_layer_input->projection);
      norm_(layer.per_layer_input->post_norm);
    }
    if (!layer.output_scale.empty()) vector_(layer.output_scale, 1);
  }

 private:
  void walk(const AttentionSpec& attention) const {
    linear_(attention.q_proj);
    visit(attention.k_proj);
    visit(attention.v_proj);
    visit(attention.gate_proj);
    if (attention.latent) walk(*attention.latent);
    linear_(attention.o_proj);
    for (const auto* norm : {&attention.q_norm, &attention.k_norm, &attention.v_norm}) {
      if (*norm) norm_((*norm)->norm);
    }
    if (!attention.sinks.empty()) vector_(attention.sinks, attention.num_heads);
  }

  void walk(const RecurrentSpec& recurrent) const {
    for (const LinearSpec& input : recurrent.inputs) linear_(input);
    visit(recurrent.input_gate_proj);
    linear_(recurrent.gate_proj);
    visit(recurrent.decay_proj);
    visit(recurrent.beta_proj);
    linear_(recurrent.out_proj);
    visit(recurrent.norm);
    const ConvSpec& conv = recurrent.conv;
    vector_(conv.name + ".weight", conv.channels * conv.kernel);
    if (conv.has_bias) vector_(conv.name + ".bias", conv.channels);
    for (const std::string* name : {&recurrent.a_log, &recurrent.dt_bias, &recurrent.skip}) {
      if (!name->empty()) vector_(*name, recurrent.num_heads);
    }
  }

  void walk(const LatentSpec& latent) const {
    visit(latent.q_a_proj);
    visit(latent.q_a_norm);
    linear_(latent.kv_a_proj);
    norm_(latent.kv_a_norm);
    linear_(latent.embed_q);
    linear_(latent.unembed_out);
  }

  void walk(const MlpSpec& mlp) const {
    visit(mlp.gate_proj);
    linear_(mlp.up_proj);
    linear_(mlp.down_proj);
  }

  void walk(const MoeSpec& moe) const {
    linear_(moe.router.gate);
    for (const std::string* name : {&moe.router.correction_bias, &moe.router.expert_scales}) {
      if (!name->empty()) vector_(*name, static_cast<std::int32_t>(moe.experts.size()));
    }
    if (!moe.router.input_scales.empty()) vector_(moe.router.input_scales, moe.router.gate.in_features);
    for (const MlpSpec& expert : moe.experts) walk(expert);
    if (moe.shared) walk(*moe.shared);
    visit(moe.shared_gate);
    for (const auto* norm : {&moe.shared_norm, &moe.shared_post_norm, &moe.experts_post_norm}) visit(*norm);
  }

  void visit(const std::optional<LinearSpec>& linear) const {
    if (linear) linear_(*linear);
  }
  void visit(const std::optional<NormSpec>& norm) const {
    if (norm) norm_(*norm);
  }

  const Linear& linear_;
  const Norm& norm_;
  const Vector& vector_;
};

template <typename Linear, typename Norm, typename Vector>
void visit_modules(const ModelSpec& spec, const Linear& linear, const Norm& norm, const Vector& vector) {
  ModuleWalk<Linear, Norm, Vector>(linear, norm, vector).walk(spec);
}

}  // namespace mlxd
