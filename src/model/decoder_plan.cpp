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
  const std::int64_t num_layers = TRY(read_size(config, names.layers, defaults.layers, kMaxLayers));
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

Result<void> DecoderPlan::keep_dense(const ConfigReader& config, std::string_view field) {
  const auto* dense = config.find(field);
  if (dense == nullptr) return {};
  if (!dense->is_array()) return config.refuse(field, "a list of layers");
  for (const auto& index : dense->get_array()) {
    const std::int64_t* layer = index.if_int64();
    if (layer == nullptr || *layer < 0 || *layer >= static_cast<std::int64_t>(layers.size()))
      return config.refuse(field, "a list of layers");
    layers[static_cast<std::size_t>(*layer)].moe = false;
  }
  return {};
}

Result<void> DecoderPlan::use_recurrence(const ConfigReader& config, RecurrentPlan plan,
                                         const std::function<bool(std::size_t)>& attends) {
  const auto* types = config.find("layer_types");
  if (types != nullptr && (!types->is_array() || types->get_array().size() != layers.size()))
    return config.refuse("layer_types", "a list with one entry a layer");
  for (std::size_t i = 0; i < layers.size(); ++i) {
    bool full = types == nullptr && attends(i);
    if (types != nullptr) {
      const auto& type = types->get_array()[i];
      if (!type.is_string()) return config.refuse("layer_types", "a list of names");
      full = type.get_string() == "full_attention" || type.get_string() == "attention";
    }
    layers[i].attention = full;
    layers[i].recurrent = !full;
  }
  recurrent = std::move(plan);
  return {};
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
