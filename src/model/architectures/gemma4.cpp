// Gemma 4: gemma 3 whose values are normed too, and unscaled scores. Layers that see all positions have heads
// of their own size, some of them with keys for values; the last layers may read the K/V of earlier ones, and
// the small models have an input of its own for each layer. gemma4 holds the text model beside towers for
// images and sound.
#include <array>
#include <cmath>

#include "model/decoder_plan.h"
#include "model/nested_text_model.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 3> kGemma4ModelTypes = {"gemma4", "gemma4_text", "gemma4_unified"};

/// The sizes of layers that see all positions, and of those that read the K/V of others.
Result<void> read_layers_gemma4(const ConfigReader& config, DecoderPlan& plan) {
  const auto num_layers = static_cast<std::int64_t>(plan.layers.size());
  const std::int64_t global_dim = TRY(config.integer_or("global_head_dim", 512, 2, kMaxHeadDim));
  if (global_dim % 2 != 0) return config.refuse("global_head_dim", "an even number");
  const bool same = TRY(config.boolean_or("attention_k_eq_v", false));
  const std::int64_t heads = plan.layers.front().heads;
  const std::int64_t global_kv_heads =
      TRY(config.integer_or("num_global_key_value_heads", plan.layers.front().kv_heads, 1, kMaxHeads));
  if (heads % global_kv_heads != 0)
    return config.refuse("num_global_key_value_heads", "a divisor of num_attention_heads");
  if (heads * global_dim > kMaxWidth) {
    return config.refuse("global_head_dim", "such that num_attention_heads × global_head_dim is at most " +
                                                std::to_string(kMaxWidth));
  }
  const std::int64_t num_shared = TRY(config.integer_or("num_kv_shared_layers", 0, 0, num_layers - 1));
  const bool wide = TRY(config.boolean_or("use_double_wide_mlp", true));
  const std::size_t first_shared = plan.layers.size() - static_cast<std::size_t>(num_shared);
  for (std::size_t i = 0; i < plan.layers.size(); ++i) {
    LayerPlan& layer = plan.layers[i];
    if (layer.slides) {
      layer.rope = 1;
    } else {
      layer.head_dim = global_dim;
      layer.values_are_keys = same;
      if (same) layer.kv_heads = global_kv_heads;
    }
    if (i < first_shared) continue;
    if (wide) layer.intermediate *= 2;
    for (std::size_t other = first_shared; other-- > 0 && !layer.kv_from;) {
      if (plan.layers[other].slides == layer.slides) layer.kv_from = other;
    }
    if (!layer.kv_from)
      return config.refuse("num_kv_shared_layers", "fewer: no layer of the same type is left before them");
  }
  return {};
}

Result<void> read_ropes(const ConfigReader& config, DecoderPlan& plan) {
  const auto parameters = TRY(config.object("rope_parameters"));
  const auto full = parameters ? TRY(parameters->object("full_attention")) : parameters;
  const auto sliding = parameters ? TRY(parameters->object("sliding_attention")) : parameters;
  if (!full || !sliding)
    return config.refuse("rope_parameters", "an object with full_attention and sliding_attention");
  const auto global_dim =
      static_cast<std::int32_t>(TRY(config.integer_or("global_head_dim", 512, 2, kMaxHeadDim)));
  TRY(plan.add_rope(config, {.rotary_dim = global_dim, .parameters = &*full}));
  return plan.add_rope(config, {.parameters = &*sliding});
}

/// Experts beside the MLP, which is their shared one, each with norms of its own.
Result<void> read_experts_gemma4(const ConfigReader& config, DecoderPlan& plan) {
  MoePlan moe;
  TRY(moe.read_sizes(config, "num_experts", "top_k_experts", "moe_intermediate_size"));
  moe.router.scoring = RouterScoring::kSoftmaxOfChosen;
  moe.router.input_scale = 1.0F / std::sqrt(static_cast<float>(plan.hidden));
  moe.router_name = "router.proj";
  moe.router_scales = "router.scale";
  moe.expert_scales = "router.per_expert_scale";
  moe.experts = "experts.switch_glu";
  moe.fused_gate_up = "experts.gate_up_proj";
  moe.fused_down = "experts.down_proj";
  moe.activation = plan.activation;
  moe.shared_expert = "mlp";
  moe.shared_intermediate = plan.layers.front().intermediate;
  for (const LayerPlan& layer : plan.layers) {
    if (layer.intermediate != moe.shared_intermediate)
      return config.refuse_unsupported("num_kv_shared_layers", "0 is, beside experts");
  }
  moe.shared_norm = plan.names.mlp_norm;
  plan.names.mlp_norm = "pre_feedforward_layernorm_2";
  moe.shared_post_norm = "post_feedforward_layernorm_1";
  moe.experts_post_norm = "post_feedforward_layernorm_2";
  plan.use_experts(std::move(moe));
  return {};
}

Result<ModelSpec> build_text_gemma4(const ArchitectureInput& input, std::string_view prefix,
                                    const ConfigReader& config) {
  const ConfigDefaults defaults = {.heads = 8, .kv_heads = 1, .head_dim = 256, .vocabulary = 262144};
  DecoderPlan plan = TRY(DecoderPlan::read(config, {}, defaults));
  plan.set_attention_bias(false);
  plan.mlp_bias = false;
  plan.head_norms = HeadNorms::kEachHead;
  plan.value_norm = true;
  plan.attention_scale = 1.0;
  plan.activation = Activation::kGeluTanh;
  plan.embedding_scale = std::sqrt(static_cast<double>(plan.hidden));
  plan.logits_softcap = TRY(config.number_or("final_logit_softcapping", 30.0, 1e-3, 1e6));
  plan.names.attention_post_norm = "post_attention_layernorm";
  plan.names.mlp_norm = "pre_feedforward_layernorm";
  plan.names.mlp_post_norm = "post_feedforward_layernorm";
  plan.names.output_scale = "layer_scalar";
  plan.names.add_prefix(prefix);
  if (!config.has("tie_word_embeddings")) plan.tied = true;
  TRY(read_ropes(config, plan));
  const auto pattern =
      static_cast<std::size_t>(TRY(config.integer_or("sliding_window_pattern", 5, 1, kMaxLayers)));
  TRY(plan.read_windows(config, [&](std::size_t i) { return (i + 1) % pattern != 0; }));
  TRY(read_layers_gemma4(config, plan));
  if (TRY(config.boolean_or("enable_moe_block", false))) TRY(read_experts_gemma4(config, plan));
  const std::int64_t dim = TRY(config.integer_or("hidden_size_per_layer_input", 0, 0,
                                                 kMaxWidth / static_cast<std::int64_t>(plan.layers.size())));
  if (dim > 0) {
    plan.per_layer =
        PerLayerPlan{.prefix = std::string(prefix) + "model.",
                     .dim = dim,
                     .vocabulary = TRY(config.integer_or("vocab_size_per_layer_input", plan.vocabulary,
                                                         plan.vocabulary, kMaxVocabulary)),
                     .embedding_scale = std::sqrt(static_cast<double>(dim)),
                     .projection_scale = 1.0 / std::sqrt(static_cast<double>(plan.hidden)),
                     .scale = std::sqrt(0.5)};
  }
  return build_decoder(input, plan);
}

Result<ModelSpec> build_gemma4(const ArchitectureInput& input) {
  return build_text_model(input, build_text_gemma4);
}

/// Towers, and the projections of layers that read the K/V of others.
bool is_unused_gemma4(const ModelSpec& spec, std::string_view tensor_name) {
  for (const std::string_view part : {"audio_tower", "embed_audio", "embed_vision", "vision_embedder"}) {
    if (tensor_name.find(part) != std::string_view::npos) return true;
  }
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    const std::string attention = "layers." + std::to_string(i) + ".self_attn.";
    if (spec.layers[i].attention->has_kv()) continue;
    for (const std::string_view part : {"k_proj.", "v_proj.", "k_norm."}) {
      if (tensor_name.find(attention + std::string(part)) != std::string_view::npos) return true;
    }
  }
  return is_of_vision(tensor_name) || is_unused_in_decoder(spec, tensor_name);
}

}  // namespace

extern const Architecture gemma4_architecture;
const Architecture gemma4_architecture{kGemma4ModelTypes, build_gemma4, is_unused_gemma4};

}  // namespace mlxd
