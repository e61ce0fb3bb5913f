// build_decoder: the spec of a plan (decoder_plan.h), with every tensor that it names checked.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "model/decoder_plan.h"
#include "model/weight_rows.h"

namespace mlxd {
namespace {

/// Makes the modules of a plan's layers.
class Builder {
 public:
  Builder(const ArchitectureInput& input, const DecoderPlan& plan) : input_(input), plan_(plan) {
    norm_.eps = static_cast<float>(plan.eps);
    norm_.weight_offset = plan.norm_offset;
    norm_.kind = plan.norm;
    norm_.has_weight = plan.norm_weight;
    norm_.has_bias = plan.norm_bias;
  }

  Result<LayerSpec> make_layer(std::size_t index) {
    const DecoderNames& names = plan_.names;
    const LayerPlan& plan = plan_.layers[index];
    prefix_ = names.layers + std::to_string(index) + ".";
    LayerSpec layer;
    if (plan.attention || plan.recurrent) {
      layer.attention_norm = TRY(layer_norm(names.attention_norm));
      layer.attention_post_norm = TRY(layer_norm(names.attention_post_norm));
    }
    if (plan.feed_forward) {
      layer.mlp_norm = TRY(layer_norm(names.mlp_norm));
      layer.mlp_post_norm = TRY(layer_norm(names.mlp_post_norm));
    }
    layer.parallel = plan_.parallel;
    layer.residual_scale = static_cast<float>(plan_.residual_scale);
    if (plan.attention) layer.attention = TRY(make_attention(plan));
    if (plan.recurrent)
      layer.recurrent = TRY(make_recurrent(input_, *plan_.recurrent, prefix_, plan_.hidden));
    if (plan_.per_layer) layer.per_layer_input = TRY(make_per_layer_input(plan_.per_layer->dim));
    if (!names.output_scale.empty()) {
      layer.output_scale = prefix_ + names.output_scale;
      TRY(check_vector(input_, layer.output_scale, 1));
    }
    if (!plan.feed_forward) return layer;
    if (plan.moe) {
      layer.moe = TRY(make_moe(*plan_.moe));
    } else {
      layer.mlp = TRY(make_mlp(plan.intermediate));
    }
    return layer;
  }

  Result<PerLayerEmbeddingSpec> make_per_layer_embedding(const PerLayerPlan& plan) {
    const std::int64_t width = plan.dim * static_cast<std::int64_t>(plan_.layers.size());
    PerLayerEmbeddingSpec spec;
    spec.embedding =
        TRY(mlxd::make_linear(input_, plan.prefix + "embed_tokens_per_layer", width, plan.vocabulary, false));
    spec.projection = TRY(
        mlxd::make_linear(input_, plan.prefix + "per_layer_model_projection", plan_.hidden, width, false));
    spec.projection_norm = TRY(make_norm(input_, norm_, plan.prefix + "per_layer_projection_norm", plan.dim));
    spec.dim = static_cast<std::int32_t>(plan.dim);
    spec.embedding_scale = static_cast<float>(plan.embedding_scale);
    spec.projection_scale = static_cast<float>(plan.projection_scale);
    spec.scale = static_cast<float>(plan.scale);
    return spec;
  }

  Result<NormSpec> make_whole_norm(const std::string& name) {
    return make_norm(input_, norm_, name, plan_.hidden);
  }

 private:
  Result<std::optional<NormSpec>> layer_norm(const std::string& name) {
    if (name.empty()) return std::optional<NormSpec>();
    NormSpec like = norm_;
    like.eps = static_cast<float>(plan_.layer_norm_eps.value_or(plan_.eps));
    return std::optional(TRY(make_norm(input_, like, prefix_ + name, plan_.hidden)));
  }

  Result<LinearSpec> linear(const std::string& name, std::int64_t in, std::int64_t out, bool bias) {
    if (plan_.transposed) return make_transposed_linear(input_, prefix_ + name, 1, in, out, bias);
    return mlxd::make_linear(input_, prefix_ + name, in, out, bias);
  }

  Result<PerLayerInputSpec> make_per_layer_input(std::int64_t dim) {
    PerLayerInputSpec spec;
    spec.gate = TRY(linear("per_layer_input_gate", plan_.hidden, dim, false));
    spec.projection = TRY(linear("per_layer_projection", dim, plan_.hidden, false));
    spec.post_norm = TRY(make_norm(input_, norm_, prefix_ + "post_per_layer_input_norm", plan_.hidden));
    spec.activation = plan_.activation;
    return spec;
  }

  Result<AttentionSpec> make_attention(const LayerPlan& plan) {
    const DecoderNames& names = plan_.names;
    const std::int64_t q_size = plan.heads * plan.head_dim;
    const std::int64_t kv_size = plan.kv_heads * plan.head_dim;
    AttentionSpec attention;
    attention.num_heads = static_cast<std::int32_t>(plan.heads);
    attention.num_kv_heads = static_cast<std::int32_t>(plan.kv_heads);
    attention.head_dim = static_cast<std::int32_t>(plan.head_dim);
    attention.scale = static_cast<float>(
        plan_.attention_scale.value_or(1.0 / std::sqrt(static_cast<double>(plan.head_dim))));
    attention.softcap = static_cast<float>(plan_.attention_softcap);
    attention.rope = plan.rope;
    attention.position_scaling = plan.position_scaling;
    attention.norm_after_rope = plan_.norm_after_rope;
    if (plan_.latent) return make_latent_attention(*plan_.latent, std::move(attention));
    if (plan_.gated_queries) {
      const LinearSpec whole = TRY(linear(names.q_proj, plan_.hidden, 2 * q_size, plan_.q_bias));
      attention.q_proj = take_rows(whole, 0, q_size, plan.head_dim, 2 * plan.head_dim);
      attention.gate_proj = take_rows(whole, plan.head_dim, q_size, plan.head_dim, 2 * plan.head_dim);
      attention.k_proj = TRY(linear(names.k_proj, plan_.hidden, kv_size, plan_.k_bias));
      attention.v_proj = TRY(linear(names.v_proj, plan_.hidden, kv_size, plan_.v_bias));
    } else if (names.qkv_proj.empty()) {
      attention.q_proj = TRY(linear(names.q_proj, plan_.hidden, q_size, plan_.q_bias));
      if (!plan.kv_from) {
        attention.k_proj = TRY(linear(names.k_proj, plan_.hidden, kv_size, plan_.k_bias));
        attention.v_proj = TRY(
            linear(plan.values_are_keys ? names.k_proj : names.v_proj, plan_.hidden, kv_size, plan_.v_bias));
      }
    } else {
      const LinearSpec whole = TRY(linear(names.qkv_proj, plan_.hidden, q_size + 2 * kv_size, plan_.q_bias));
      split_qkv(whole, plan, attention);
    }
    if (!names.attention_gate.empty())
      attention.gate_proj = TRY(linear(names.attention_gate, plan_.hidden, q_size, false));
    attention.o_proj = TRY(linear(names.o_proj, q_size, plan_.hidden, plan_.o_bias));
    attention.q_norm = TRY(head_norm(names.q_norm, plan.heads, plan.head_dim));
    if (!plan.kv_from) attention.k_norm = TRY(head_norm(names.k_norm, plan.kv_heads, plan.head_dim));
    if (!plan.kv_from && plan_.value_norm) {
      NormSpec norm = norm_;
      norm.name = prefix_ + "value norm";
      norm.size = static_cast<std::int32_t>(plan.head_dim);
      norm.has_weight = false;
      norm.has_bias = false;
      attention.v_norm = HeadNormSpec{.norm = norm};
    }
    if (plan_.sinks) {
      attention.sinks = prefix_ + names.sinks;
      TRY(check_vector(input_, attention.sinks, plan.heads));
    }
    return attention;
  }

  Result<AttentionSpec> make_latent_attention(const LatentPlan& plan, AttentionSpec attention) {
    const std::int64_t heads = attention.num_heads;
    LatentSpec latent;
    latent.latent_dim = static_cast<std::int32_t>(plan.kv_rank);
    latent.nope_dim = static_cast<std::int32_t>(plan.nope_dim);
    latent.rope_dim = static_cast<std::int32_t>(plan.rope_dim);
    latent.value_dim = static_cast<std::int32_t>(plan.value_dim);
    NormSpec norm = norm_;
    norm.eps = static_cast<float>(plan.eps);
    const std::int64_t q_size = heads * (plan.nope_dim + plan.rope_dim);
    if (plan.query_rank > 0) {
      latent.q_a_proj = TRY(linear("self_attn.q_a_proj", plan_.hidden, plan.query_rank, plan_.q_bias));
      latent.q_a_norm = TRY(make_norm(input_, norm, prefix_ + "self_attn.q_a_layernorm", plan.query_rank));
      attention.q_proj = TRY(linear("self_attn.q_b_proj", plan.query_rank, q_size, false));
    } else {
      attention.q_proj = TRY(linear(plan_.names.q_proj, plan_.hidden, q_size, false));
    }
    latent.kv_a_proj =
        TRY(linear("self_attn.kv_a_proj_with_mqa", plan_.hidden, plan.kv_rank + plan.rope_dim, plan_.k_bias));
    latent.kv_a_norm = TRY(make_norm(input_, norm, prefix_ + "self_attn.kv_a_layernorm", plan.kv_rank));
    // One tensor makes both keys and values of latents, or it has been taken apart.
    const bool apart = input_.weights.find(prefix_ + "self_attn.embed_q.weight") != nullptr ||
                       input_.weights.find(prefix_ + "self_attn.unembed_out.weight") != nullptr;
    if (!apart) {
      const std::int64_t period = plan.nope_dim + plan.value_dim;
      const LinearSpec whole = TRY(linear("self_attn.kv_b_proj", plan.kv_rank, heads * period, false));
      latent.embed_q = take_rows(whole, 0, heads * plan.nope_dim, plan.nope_dim, period);
      latent.embed_q_transposed = true;
      latent.unembed_out = take_rows(whole, plan.nope_dim, heads * plan.value_dim, plan.value_dim, period);
    } else {
      latent.embed_q = TRY(linear("self_attn.embed_q", plan.nope_dim, heads * plan.kv_rank, false));
      latent.unembed_out = TRY(linear("self_attn.unembed_out", plan.kv_rank, heads * plan.value_dim, false));
    }
    attention.o_proj = TRY(linear(plan_.names.o_proj, heads * plan.value_dim, plan_.hidden, plan_.o_bias));
    attention.latent = std::move(latent);
    return attention;
  }

  void split_qkv(const LinearSpec& whole, const LayerPlan& plan, AttentionSpec& attention) const {
    const std::int64_t q_size = plan.heads * plan.head_dim;
    const std::int64_t kv_size = plan.kv_heads * plan.head_dim;
    if (plan_.qkv_layout == QkvLayout::kStacked) {
      attention.q_proj = take_rows(whole, 0, q_size, q_size, q_size);
      attention.k_proj = take_rows(whole, q_size, kv_size, kv_size, kv_size);
      attention.v_proj = take_rows(whole, q_size + kv_size, kv_size, kv_size, kv_size);
      return;
    }
    const std::int64_t run = q_size / plan.kv_heads;
    const std::int64_t period = run + 2 * plan.head_dim;
    attention.q_proj = take_rows(whole, 0, q_size, run, period);
    attention.k_proj = take_rows(whole, run, kv_size, plan.head_dim, period);
    attention.v_proj = take_rows(whole, run + plan.head_dim, kv_size, plan.head_dim, period);
  }

  Result<std::optional<HeadNormSpec>> head_norm(const std::string& name, std::int64_t heads,
                                                std::int64_t head_dim) {
    if (plan_.head_norms == HeadNorms::kNone) return std::optional<HeadNormSpec>();
    HeadNormSpec norm;
    const std::int64_t size = plan_.head_norms == HeadNorms::kEachHead ? head_dim : heads * head_dim;
    NormSpec like = norm_;
    like.has_bias = false;
    like.has_weight = plan_.norm_weight && plan_.head_norm_weight;
    norm.norm = TRY(make_norm(input_, like, prefix_ + name, size));
    norm.over_all_heads = plan_.head_norms == HeadNorms::kAllHeads;
    return std::optional(std::move(norm));
  }

  Result<MlpSpec> make_mlp(std::int64_t intermediate) {
    const DecoderNames& names = plan_.names;
    MlpSpec mlp;
    mlp.activation = plan_.activation;
    if (!names.gate_up_proj.empty()) {
      const LinearSpec whole =
          TRY(linear(names.gate_up_proj, plan_.hidden, 2 * intermediate, plan_.mlp_bias));
      mlp.gate_proj = take_rows(whole, 0, intermediate, intermediate, intermediate);
      mlp.up_proj = take_rows(whole, intermediate, intermediate, intermediate, intermediate);
    } else {
      if (plan_.gated)
        mlp.gate_proj = TRY(linear(names.gate_proj, plan_.hidden, intermediate, plan_.mlp_bias));
      mlp.up_proj = TRY(linear(names.up_proj, plan_.hidden, intermediate, plan_.mlp_bias));
    }
    mlp.down_proj = TRY(linear(names.down_proj, intermediate, plan_.hidden, plan_.mlp_bias));
    return mlp;
  }

  Result<MlpSpec> make_expert(const std::string& gate, const std::string& up, const std::string& down,
                              std::int64_t intermediate, bool bias, Activation activation) {
    MlpSpec mlp;
    mlp.activation = activation;
    if (plan_.moe->gated) mlp.gate_proj = TRY(linear(gate, plan_.hidden, intermediate, bias));
    mlp.up_proj = TRY(linear(up, plan_.hidden, intermediate, bias));
    mlp.down_proj = TRY(linear(down, intermediate, plan_.hidden, bias));
    return mlp;
  }

  Result<std::vector<MlpSpec>> make_experts(const MoePlan& plan) {
    std::vector<MlpSpec> experts;
    const std::int64_t count = plan.num_experts;
    const bool stacked = has_module(input_.weights, prefix_ + plan.experts + "." + plan.stacked_up);
    if (!stacked && has_module(input_.weights, prefix_ + plan.single_experts + ".0." + plan.up_proj)) {
      for (std::int64_t i = 0; i < count; ++i) {
        const std::string name = plan.single_experts + "." + std::to_string(i) + ".";
        experts.push_back(TRY(make_expert(name + plan.gate_proj, name + plan.up_proj, name + plan.down_proj,
                                          plan.intermediate, plan.expert_bias, plan.activation)));
      }
      return experts;
    }
    if (plan.gated && !stacked && has_module(input_.weights, prefix_ + plan.fused_gate_up))
      return make_fused_experts(plan);
    const std::int64_t inner = plan.intermediate;
    LinearSpec gate;
    if (plan.gated)
      gate = TRY(linear(plan.experts + ".gate_proj", plan_.hidden, count * inner, plan.expert_bias));
    const LinearSpec up =
        TRY(linear(plan.experts + "." + plan.stacked_up, plan_.hidden, count * inner, plan.expert_bias));
    const LinearSpec down =
        TRY(linear(plan.experts + "." + plan.stacked_down, inner, count * plan_.hidden, plan.expert_bias));
    for (std::int64_t i = 0; i < count; ++i) {
      MlpSpec expert;
      expert.activation = plan.activation;
      if (plan.gated) expert.gate_proj = take_rows(gate, i * inner, inner, inner, inner);
      expert.up_proj = take_rows(up, i * inner, inner, inner, inner);
      expert.down_proj = take_rows(down, i * plan_.hidden, plan_.hidden, plan_.hidden, plan_.hidden);
      experts.push_back(std::move(expert));
    }
    return experts;
  }

  Result<LinearSpec> fused_linear(const MoePlan& plan, const std::string& name, std::int64_t in,
                                  std::int64_t out) {
    const std::int64_t all = plan.num_experts * out;
    if (!plan.fused_transposed) return linear(name, in, all, plan.expert_bias);
    return make_transposed_linear(input_, prefix_ + name, plan.num_experts, in, all, plan.expert_bias);
  }

  Result<std::vector<MlpSpec>> make_fused_experts(const MoePlan& plan) {
    const std::int64_t inner = plan.intermediate;
    const LinearSpec gate_up = TRY(fused_linear(plan, plan.fused_gate_up, plan_.hidden, 2 * inner));
    const LinearSpec down = TRY(fused_linear(plan, plan.fused_down, inner, plan_.hidden));
    const std::int64_t run = plan.fused_interleaved ? 1 : inner;
    std::vector<MlpSpec> experts;
    for (std::int64_t i = 0; i < plan.num_experts; ++i) {
      MlpSpec expert;
      expert.activation = plan.activation;
      expert.gate_proj = take_rows(gate_up, i * 2 * inner, inner, run, 2 * run);
      expert.up_proj = take_rows(gate_up, i * 2 * inner + run, inner, run, 2 * run);
      expert.down_proj = take_rows(down, i * plan_.hidden, plan_.hidden, plan_.hidden, plan_.hidden);
      experts.push_back(std::move(expert));
    }
    return experts;
  }

  Result<MoeSpec> make_moe(const MoePlan& plan) {
    MoeSpec moe;
    moe.router = plan.router;
    moe.router.gate = TRY(linear(plan.router_name, plan_.hidden, plan.num_experts, plan.router_bias));
    if (!plan.correction_bias.empty()) {
      moe.router.correction_bias = prefix_ + plan.correction_bias;
      TRY(check_vector(input_, moe.router.correction_bias, plan.num_experts));
    }
    if (!plan.router_scales.empty()) {
      moe.router.input_scales = prefix_ + plan.router_scales;
      moe.router.input_eps = static_cast<float>(plan_.eps);
      TRY(check_vector(input_, moe.router.input_scales, plan_.hidden));
    }
    if (!plan.expert_scales.empty()) {
      moe.router.expert_scales = prefix_ + plan.expert_scales;
      TRY(check_vector(input_, moe.router.expert_scales, plan.num_experts));
    }
    moe.shared_norm = TRY(layer_norm(plan.shared_norm));
    moe.shared_post_norm = TRY(layer_norm(plan.shared_post_norm));
    moe.experts_post_norm = TRY(layer_norm(plan.experts_post_norm));
    moe.experts = TRY(make_experts(plan));
    if (!plan.shared_gate_up.empty()) {
      const std::int64_t inner = plan.shared_intermediate;
      const LinearSpec whole = TRY(linear(plan.shared_gate_up, plan_.hidden, 2 * inner, false));
      MlpSpec& shared = moe.shared.emplace();
      shared.activation = plan.activation;
      shared.gate_proj = take_rows(whole, 0, inner, inner, inner);
      shared.up_proj = take_rows(whole, inner, inner, inner, inner);
      shared.down_proj = TRY(linear(plan.shared_down, inner, plan_.hidden, false));
    } else if (plan.shared_intermediate > 0) {
      const std::string& name = plan.shared_expert;
      moe.shared = TRY(make_expert(name + ".gate_proj", name + ".up_proj", name + ".down_proj",
                                   plan.shared_intermediate, false, plan.activation));
      if (!plan.shared_gate.empty()) moe.shared_gate = TRY(linear(plan.shared_gate, plan_.hidden, 1, false));
    }
    return moe;
  }

  const ArchitectureInput& input_;
  const DecoderPlan& plan_;
  NormSpec norm_;
  std::string prefix_;
};

/// Gives a layer its place in a layer group: one for each kind of window and K/V shape, in the order of their
/// first layers, and one for all states.
void group_attention(const DecoderPlan& plan, std::size_t i, ModelSpec& spec) {
  AttentionSpec& attention = *spec.layers[i].attention;
  if (const auto& from = plan.layers[i].kv_from) {
    attention.layer_group = spec.layers[*from].attention->layer_group;
    attention.index_in_group = spec.layers[*from].attention->index_in_group;
    return;
  }
  const auto fits = [&](const LayerGroup& group) {
    return group.kind == LayerGroupKind::kAttention && group.window_tokens == plan.layers[i].window_tokens &&
           group.num_kv_heads == attention.num_kv_heads && group.head_dim == attention.head_dim;
  };
  std::size_t group = 0;
  while (group < spec.layer_groups.size() && !fits(spec.layer_groups[group])) ++group;
  if (group == spec.layer_groups.size()) {
    spec.layer_groups.push_back({.num_kv_heads = attention.num_kv_heads,
                                 .head_dim = attention.head_dim,
                                 .window_tokens = plan.layers[i].window_tokens});
  }
  attention.layer_group = static_cast<std::int32_t>(group);
  attention.index_in_group = spec.layer_groups[group].num_layers++;
}

void group_recurrent(std::size_t i, ModelSpec& spec) {
  RecurrentSpec& recurrent = *spec.layers[i].recurrent;
  std::size_t group = 0;
  while (group < spec.layer_groups.size() && spec.layer_groups[group].kind != LayerGroupKind::kRecurrent)
    ++group;
  if (group == spec.layer_groups.size()) {
    spec.layer_groups.push_back({.kind = LayerGroupKind::kRecurrent,
                                 .state_floats = recurrent.state_floats(),
                                 .window_tokens = kStateWindow});
  }
  recurrent.layer_group = static_cast<std::int32_t>(group);
  recurrent.index_in_group = spec.layer_groups[group].num_layers++;
}

/// Limits on experts in all, and on what a token's experts hold together.
Result<void> check_experts(const ArchitectureInput& input, const DecoderPlan& plan, const MoePlan& moe) {
  const std::string subject = input.config.file() + ": " + plan.model_type + " with ";
  const auto layers =
      std::count_if(plan.layers.begin(), plan.layers.end(), [](const LayerPlan& layer) { return layer.moe; });
  if (layers * moe.num_experts > kMaxExpertsInAll) {
    return corrupt_data(subject + std::to_string(layers) + " layers of " + std::to_string(moe.num_experts) +
                        " experts, at most " + std::to_string(kMaxExpertsInAll) + " in all are supported");
  }
  if (moe.router.experts_per_token * std::max(plan.hidden, moe.intermediate) > kMaxExpertWidths) {
    return corrupt_data(subject + std::to_string(moe.router.experts_per_token) + " experts a token of " +
                        std::to_string(std::max(plan.hidden, moe.intermediate)) +
                        " elements, the product may be at most " + std::to_string(kMaxExpertWidths));
  }
  return {};
}

}  // namespace

Result<ModelSpec> build_decoder(const ArchitectureInput& input, const DecoderPlan& plan) {
  ModelSpec spec;
  spec.model_type = plan.model_type;
  spec.hidden_size = static_cast<std::int32_t>(plan.hidden);
  spec.vocab_size = static_cast<std::int32_t>(plan.vocabulary);
  spec.context_tokens = static_cast<std::int32_t>(plan.context);
  spec.ropes = plan.ropes;
  spec.embedding_scale = static_cast<float>(plan.embedding_scale);
  spec.logits_scale = static_cast<float>(plan.logits_scale);
  spec.logits_softcap = static_cast<float>(plan.logits_softcap);

  spec.embedding = TRY(make_linear(input, plan.names.embedding, plan.hidden, plan.vocabulary, false));
  if (!plan.position_embedding.empty()) {
    spec.position_embedding =
        TRY(make_linear(input, plan.position_embedding, plan.hidden, plan.num_positions, false));
  }
  if (plan.embedding_norm) {
    spec.embedding_norm = NormSpec{.name = "embedding norm",
                                   .size = spec.hidden_size,
                                   .eps = static_cast<float>(plan.eps),
                                   .kind = plan.norm,
                                   .has_weight = false};
  }
  if (plan.moe) TRY(check_experts(input, plan, *plan.moe));
  Builder builder(input, plan);
  if (plan.per_layer) spec.per_layer_embedding = TRY(builder.make_per_layer_embedding(*plan.per_layer));
  for (std::size_t i = 0; i < plan.layers.size(); ++i) spec.layers.push_back(TRY(builder.make_layer(i)));
  for (std::size_t i = 0; i < plan.layers.size(); ++i) {
    if (spec.layers[i].attention) group_attention(plan, i, spec);
    if (spec.layers[i].recurrent) group_recurrent(i, spec);
  }
  spec.final_norm = TRY(builder.make_whole_norm(plan.names.final_norm));
  // Where the configuration is silent the tensors decide: mlx-lm and transformers have opposite defaults.
  spec.tied_embeddings = plan.tied.value_or(!has_module(input.weights, plan.names.lm_head));
  spec.lm_head =
      spec.tied_embeddings
          ? spec.embedding
          : TRY(make_linear(input, plan.names.lm_head, plan.hidden, plan.vocabulary, plan.lm_head_bias));
  return spec;
}

}  // namespace mlxd
