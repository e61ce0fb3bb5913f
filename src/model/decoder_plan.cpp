#include "model/decoder_plan.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

namespace mlxd {
namespace {

Result<std::int64_t> read_field(const ConfigReader& config, const std::string& field, std::int64_t fallback,
                                std::int64_t max) {
  if (field.empty()) return fallback;
  return config.integer_or(field, fallback, 1, max);
}

/// A size that must be there unless it has a default.
Result<std::int64_t> read_size(const ConfigReader& config, const std::string& field, std::int64_t fallback,
                               std::int64_t max) {
  return fallback > 0 ? config.integer_or(field, fallback, 1, max) : config.integer(field, 1, max);
}

/// The sizes of a layer, alike in all layers where a plan begins.
Result<LayerPlan> read_layer(const ConfigReader& config, const ConfigNames& names,
                             const ConfigDefaults& defaults, std::int64_t hidden) {
  LayerPlan layer;
  layer.intermediate =
      TRY(read_size(config, names.intermediate, defaults.intermediate_factor * hidden, kMaxWidth));
  if (layer.intermediate > kMaxWidth)
    return config.refuse(names.hidden, "at most " + std::to_string(kMaxWidth / defaults.intermediate_factor));
  layer.heads = TRY(read_size(config, names.heads, defaults.heads, kMaxHeads));
  layer.kv_heads = TRY(
      read_field(config, names.kv_heads, defaults.kv_heads > 0 ? defaults.kv_heads : layer.heads, kMaxHeads));
  if (layer.heads % layer.kv_heads != 0) {
    return config.refuse(names.kv_heads, "a divisor of " + names.heads + ", " + std::to_string(layer.heads));
  }
  const bool says_head_dim = !names.head_dim.empty() && config.has(names.head_dim);
  if (!says_head_dim && defaults.head_dim == 0 && hidden % layer.heads != 0)
    return config.refuse(names.hidden, "a multiple of " + names.heads + ", " + std::to_string(layer.heads));
  const std::int64_t head_dim = defaults.head_dim > 0 ? defaults.head_dim : hidden / layer.heads;
  layer.head_dim = TRY(read_field(config, names.head_dim, head_dim, kMaxHeadDim));
  if (layer.head_dim % 2 != 0 || layer.head_dim > kMaxHeadDim) {
    return config.refuse(says_head_dim ? names.head_dim : names.heads,
                         "such that head_dim is even and at most " + std::to_string(kMaxHeadDim) +
                             " (it is " + std::to_string(layer.head_dim) + ")");
  }
  if (layer.heads * layer.head_dim > kMaxWidth) {
    return config.refuse(names.heads,
                         "such that " + names.heads + " × head_dim is at most " + std::to_string(kMaxWidth));
  }
  return layer;
}

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
    layer.attention_norm = TRY(layer_norm(names.attention_norm));
    layer.attention_post_norm = TRY(layer_norm(names.attention_post_norm));
    layer.mlp_norm = TRY(layer_norm(names.mlp_norm));
    layer.mlp_post_norm = TRY(layer_norm(names.mlp_post_norm));
    layer.parallel = plan_.parallel;
    layer.residual_scale = static_cast<float>(plan_.residual_scale);
    layer.attention = TRY(make_attention(plan));
    if (plan_.per_layer) layer.per_layer_input = TRY(make_per_layer_input(plan_.per_layer->dim));
    if (!names.output_scale.empty()) {
      layer.output_scale = prefix_ + names.output_scale;
      TRY(check_vector(input_, layer.output_scale, 1));
    }
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
    return std::optional(TRY(make_norm(input_, norm_, prefix_ + name, plan_.hidden)));
  }

  Result<LinearSpec> linear(const std::string& name, std::int64_t in, std::int64_t out, bool bias) {
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
    if (names.qkv_proj.empty()) {
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
    mlp.gate_proj = TRY(linear(gate, plan_.hidden, intermediate, bias));
    mlp.up_proj = TRY(linear(up, plan_.hidden, intermediate, bias));
    mlp.down_proj = TRY(linear(down, intermediate, plan_.hidden, bias));
    return mlp;
  }

  Result<std::vector<MlpSpec>> make_experts(const MoePlan& plan) {
    std::vector<MlpSpec> experts;
    const std::int64_t count = plan.num_experts;
    const std::string stacked = prefix_ + plan.experts + ".up_proj.weight";
    if (input_.weights.find(stacked) == nullptr &&
        input_.weights.find(prefix_ + plan.single_experts + ".0." + plan.up_proj + ".weight") != nullptr) {
      for (std::int64_t i = 0; i < count; ++i) {
        const std::string name = plan.single_experts + "." + std::to_string(i) + ".";
        experts.push_back(TRY(make_expert(name + plan.gate_proj, name + plan.up_proj, name + plan.down_proj,
                                          plan.intermediate, plan.expert_bias, plan.activation)));
      }
      return experts;
    }
    const std::int64_t inner = plan.intermediate;
    const LinearSpec gate =
        TRY(linear(plan.experts + ".gate_proj", plan_.hidden, count * inner, plan.expert_bias));
    const LinearSpec up =
        TRY(linear(plan.experts + ".up_proj", plan_.hidden, count * inner, plan.expert_bias));
    const LinearSpec down =
        TRY(linear(plan.experts + ".down_proj", inner, count * plan_.hidden, plan.expert_bias));
    for (std::int64_t i = 0; i < count; ++i) {
      MlpSpec expert;
      expert.activation = plan.activation;
      expert.gate_proj = take_rows(gate, i * inner, inner, inner, inner);
      expert.up_proj = take_rows(up, i * inner, inner, inner, inner);
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
    moe.experts = TRY(make_experts(plan));
    if (plan.shared_intermediate > 0) {
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

/// Gives each layer its place in a layer group: one for each kind of window and K/V shape, in the order of
/// their first layers.
void group_layers(const DecoderPlan& plan, ModelSpec& spec) {
  for (std::size_t i = 0; i < plan.layers.size(); ++i) {
    AttentionSpec& attention = spec.layers[i].attention;
    if (const auto& from = plan.layers[i].kv_from) {
      attention.layer_group = spec.layers[*from].attention.layer_group;
      attention.index_in_group = spec.layers[*from].attention.index_in_group;
      continue;
    }
    const auto fits = [&](const LayerGroup& group) {
      return group.window_tokens == plan.layers[i].window_tokens &&
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
}

/// layer_types: true for sliding_attention, false for full_attention; empty if there is none.
Result<std::vector<bool>> read_sliding_layers(const ConfigReader& config, std::size_t num_layers) {
  std::vector<bool> sliding;
  const auto* types = config.find("layer_types");
  if (types == nullptr) return sliding;
  if (!types->is_array() || types->get_array().size() != num_layers)
    return config.refuse("layer_types", "a list with one entry a layer");
  for (const auto& type : types->get_array()) {
    const std::string_view name = type.is_string() ? std::string_view(type.get_string()) : std::string_view();
    if (name != "full_attention" && name != "sliding_attention")
      return config.refuse_unsupported("layer_types", "full_attention and sliding_attention are");
    sliding.push_back(name == "sliding_attention");
  }
  return sliding;
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

void DecoderNames::add_prefix(std::string_view prefix) {
  for (std::string* name : {&embedding, &layers, &final_norm, &lm_head}) name->insert(0, prefix);
}

void DecoderNames::norm_outputs_only() {
  attention_norm.clear();
  attention_post_norm = "post_attention_layernorm";
  mlp_norm.clear();
  mlp_post_norm = "post_feedforward_layernorm";
}

Result<void> MoePlan::read_sizes(const ConfigReader& config, std::string_view experts_field,
                                 std::string_view per_token, std::string_view intermediate_size) {
  num_experts = TRY(config.integer(experts_field, 1, kMaxExperts));
  router.experts_per_token = static_cast<std::int32_t>(
      TRY(config.integer(per_token, 1, std::min(num_experts, kMaxExpertsPerToken))));
  intermediate = TRY(config.integer(intermediate_size, 1, kMaxWidth));
  return {};
}

Result<void> MoePlan::read_groups(const ConfigReader& config) {
  const std::int64_t groups = TRY(config.integer_or("n_group", 1, 1, num_experts));
  if (num_experts % groups != 0)
    return config.refuse("n_group", "a divisor of the number of experts, " + std::to_string(num_experts));
  router.num_groups = static_cast<std::int32_t>(groups);
  router.top_groups = static_cast<std::int32_t>(TRY(config.integer_or("topk_group", 1, 1, kMaxExperts)));
  router.group_best = 2;
  return {};
}

Result<void> MoePlan::read_shared(const ConfigReader& config, std::string_view field, std::int64_t fallback) {
  shared_expert = "mlp.shared_experts";
  shared_intermediate = intermediate * TRY(config.integer_or(field, fallback, 0, kMaxExperts));
  return {};
}

Result<MoePlan> MoePlan::read_deepseek(const ConfigReader& config, std::string_view num_experts,
                                       std::string_view num_shared) {
  MoePlan plan;
  TRY(plan.read_sizes(config, num_experts, "num_experts_per_tok", "moe_intermediate_size"));
  TRY(plan.read_groups(config));
  TRY(plan.read_shared(config, num_shared));
  plan.router.scoring = RouterScoring::kSigmoid;
  plan.router.normalize = plan.router.experts_per_token > 1 && TRY(config.boolean_or("norm_topk_prob", true));
  plan.router.scale = static_cast<float>(TRY(config.number_or("routed_scaling_factor", 1.0, 1e-6, 1e6)));
  plan.correction_bias = "mlp.gate.e_score_correction_bias";
  return plan;
}

void MoePlan::name_block_sparse() {
  router_name = "block_sparse_moe.gate";
  experts = "block_sparse_moe.switch_mlp";
  single_experts = "block_sparse_moe.experts";
  gate_proj = "w1";
  up_proj = "w3";
  down_proj = "w2";
}

Result<DecoderPlan> DecoderPlan::read(const ConfigReader& config, const ConfigNames& names,
                                      const ConfigDefaults& defaults) {
  DecoderPlan plan;
  plan.model_type = TRY(config.string("model_type"));
  plan.hidden = TRY(config.integer(names.hidden, 1, kMaxWidth));
  const std::int64_t num_layers = TRY(config.integer(names.layers, 1, kMaxLayers));
  const LayerPlan layer = TRY(read_layer(config, names, defaults, plan.hidden));
  plan.layers.assign(static_cast<std::size_t>(num_layers), layer);
  plan.vocabulary = TRY(read_size(config, "vocab_size", defaults.vocabulary, kMaxVocabulary));
  plan.context = TRY(config.integer_or(names.context, 2048, 1, kMaxContext));
  if (!names.eps.empty()) plan.eps = TRY(config.number_or(names.eps, 1e-6, 1e-12, 0.1));
  plan.set_attention_bias(TRY(config.boolean_or("attention_bias", false)));
  plan.mlp_bias = TRY(config.boolean_or("mlp_bias", false));
  if (config.has("tie_word_embeddings")) plan.tied = TRY(config.boolean_or("tie_word_embeddings", false));
  return plan;
}

Result<void> DecoderPlan::add_rope(const ConfigReader& config, RopeOptions options) {
  if (options.rotary_dim == 0) options.rotary_dim = static_cast<std::int32_t>(layers.front().head_dim);
  ropes.push_back(TRY(read_rope(config, options)));
  return {};
}

Result<LatentPlan> LatentPlan::read(const ConfigReader& config, std::int64_t value_dim) {
  LatentPlan plan;
  if (config.has("q_lora_rank")) plan.query_rank = TRY(config.integer("q_lora_rank", 1, kMaxWidth));
  plan.kv_rank = TRY(config.integer("kv_lora_rank", 1, kMaxHeadDim));
  plan.nope_dim = TRY(config.integer("qk_nope_head_dim", 1, kMaxHeadDim));
  plan.rope_dim = TRY(config.integer("qk_rope_head_dim", 2, kMaxHeadDim));
  plan.value_dim = TRY(read_size(config, "v_head_dim", value_dim, kMaxHeadDim));
  if (plan.rope_dim % 2 != 0) return config.refuse("qk_rope_head_dim", "an even number");
  return plan;
}

Result<void> DecoderPlan::use_latents(const ConfigReader& config, std::int64_t default_value_dim) {
  const LatentPlan& plan = latent.emplace(TRY(LatentPlan::read(config, default_value_dim)));
  attention_scale =
      TRY(read_yarn_attention_factor(config)) / std::sqrt(static_cast<double>(plan.nope_dim + plan.rope_dim));
  for (LayerPlan& layer : layers) {
    layer.kv_heads = 1;
    layer.head_dim = plan.kv_rank + plan.rope_dim;
    if (layer.heads * std::max({layer.head_dim, plan.nope_dim + plan.rope_dim, plan.value_dim}) > kMaxWidth) {
      return config.refuse("num_attention_heads", "such that what all heads hold, each " +
                                                      std::to_string(layer.head_dim) +
                                                      " or more, is at most " + std::to_string(kMaxWidth));
    }
  }
  return {};
}

Result<void> DecoderPlan::thin_experts(const ConfigReader& config, std::string_view field) {
  const auto interval = static_cast<std::size_t>(TRY(config.integer_or(field, 1, 1, kMaxLayers)));
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (i % interval != 0) layers[i].moe = false;
  }
  return {};
}

void DecoderPlan::use_experts(MoePlan experts, std::int64_t first_layer) {
  moe = std::move(experts);
  for (std::size_t i = 0; i < layers.size(); ++i) layers[i].moe = static_cast<std::int64_t>(i) >= first_layer;
}

Result<void> DecoderPlan::use_experts(const ConfigReader& config, MoePlan experts, std::string_view field,
                                      std::int64_t fallback) {
  use_experts(std::move(experts), TRY(config.integer_or(field, fallback, 0, kMaxLayers)));
  return {};
}

Result<void> DecoderPlan::read_windows(const ConfigReader& config,
                                       const std::function<bool(std::size_t)>& slides) {
  const std::vector<bool> sliding = TRY(read_sliding_layers(config, layers.size()));
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (!(sliding.empty() ? slides(i) : sliding[i])) continue;
    layers[i].slides = true;
    if (sliding.empty() && !config.has("sliding_window")) continue;
    const std::int64_t window = TRY(config.integer("sliding_window", 1, INT32_MAX));
    // A window as long as the context hides nothing.
    if (window < context) layers[i].window_tokens = static_cast<std::int32_t>(window);
  }
  return {};
}

Result<void> DecoderPlan::read_late_windows(const ConfigReader& config) {
  if (!TRY(config.boolean_or("use_sliding_window", false))) return {};
  const std::int64_t first = TRY(config.integer_or("max_window_layers", 28, 0, kMaxLayers));
  return read_windows(config, [&](std::size_t i) { return static_cast<std::int64_t>(i) >= first; });
}

Result<void> expect_activation(const ConfigReader& config, std::initializer_list<std::string_view> names) {
  if (!config.has("hidden_act")) return {};
  const std::string name = TRY(config.string("hidden_act"));
  if (std::find(names.begin(), names.end(), name) != names.end()) return {};
  return config.refuse_unsupported("hidden_act", std::string(*names.begin()) + " is");
}

Result<std::int32_t> read_rotary_dim(const ConfigReader& config, std::int64_t head_dim,
                                     double fallback_factor, std::string_view field) {
  const auto parameters = TRY(config.object("rope_parameters"));
  const ConfigReader& source = parameters && parameters->has(field) ? *parameters : config;
  const double factor = TRY(source.number_or(field, fallback_factor, 0.0, 1.0));
  const auto dim = static_cast<std::int32_t>(static_cast<double>(head_dim) * factor);
  if (dim % 2 != 0 || dim <= 0) {
    return config.refuse(field, "such that an even number of the " + std::to_string(head_dim) +
                                    " dimensions of a head rotates");
  }
  return dim;
}

LinearSpec take_rows(const LinearSpec& whole, std::int64_t first, std::int64_t count, std::int64_t run,
                     std::int64_t period) {
  LinearSpec part = whole;
  part.out_features = static_cast<std::int32_t>(count);
  part.rows = {.total = whole.stored_rows(), .first = first, .run = run, .period = period};
  return part;
}

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
  group_layers(plan, spec);
  spec.final_norm = TRY(builder.make_whole_norm(plan.names.final_norm));
  // Where the configuration is silent the tensors decide: mlx-lm and transformers have opposite defaults.
  spec.tied_embeddings = plan.tied.value_or(input.weights.find(plan.names.lm_head + ".weight") == nullptr);
  spec.lm_head =
      spec.tied_embeddings
          ? spec.embedding
          : TRY(make_linear(input, plan.names.lm_head, plan.hidden, plan.vocabulary, plan.lm_head_bias));
  return spec;
}

bool is_past_layers(const ModelSpec& spec, std::string_view tensor_name) {
  const std::string prefix = "layers.";
  const std::size_t place = tensor_name.find(prefix);
  if (place == std::string_view::npos) return false;
  std::size_t index = 0;
  const char* first = tensor_name.data() + place + prefix.size();
  const auto [end, error] = std::from_chars(first, tensor_name.data() + tensor_name.size(), index);
  return error == std::errc() && end != first && index >= spec.layers.size();
}

bool is_unused_in_decoder(const ModelSpec& spec, std::string_view tensor_name) {
  return tensor_name.ends_with("rotary_emb.inv_freq") || tensor_name.ends_with("rope.inv_freq") ||
         (spec.tied_embeddings &&
          (tensor_name.starts_with("lm_head.") || tensor_name.starts_with("language_model.lm_head.")));
}

}  // namespace mlxd
