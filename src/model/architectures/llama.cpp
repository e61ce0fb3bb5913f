// Llama 2 and 3.x, SmolLM2, and Mistral: pre-norm grouped-query attention with rotary positions, over all
// positions or a sliding window, and a SwiGLU MLP.
#include <array>
#include <cmath>

#include "model/architectures/architecture.h"
#include "model/rope.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 2> kModelTypes = {"llama", "mistral"};

struct Sizes {
  std::int64_t hidden = 0;
  std::int64_t layers = 0;
  std::int64_t intermediate = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t vocabulary = 0;
  std::int64_t context = 0;
};

Result<Sizes> read_sizes(const ConfigReader& config) {
  Sizes sizes;
  sizes.hidden = TRY(config.integer("hidden_size", 1, kMaxWidth));
  sizes.layers = TRY(config.integer("num_hidden_layers", 1, kMaxLayers));
  sizes.intermediate = TRY(config.integer("intermediate_size", 1, kMaxWidth));
  sizes.heads = TRY(config.integer("num_attention_heads", 1, kMaxHeads));
  sizes.kv_heads = TRY(config.integer_or("num_key_value_heads", sizes.heads, 1, kMaxHeads));
  if (sizes.heads % sizes.kv_heads != 0) {
    return config.refuse("num_key_value_heads",
                         "a divisor of num_attention_heads, " + std::to_string(sizes.heads));
  }
  if (!config.has("head_dim") && sizes.hidden % sizes.heads != 0) {
    return config.refuse("hidden_size", "a multiple of num_attention_heads, " + std::to_string(sizes.heads));
  }
  sizes.head_dim = TRY(config.integer_or("head_dim", sizes.hidden / sizes.heads, 1, kMaxHeadDim));
  if (sizes.head_dim % 2 != 0 || sizes.head_dim > kMaxHeadDim) {
    return config.refuse(config.has("head_dim") ? "head_dim" : "num_attention_heads",
                         "such that head_dim is even and at most " + std::to_string(kMaxHeadDim) +
                             " (it is " + std::to_string(sizes.head_dim) + ")");
  }
  if (sizes.heads * sizes.head_dim > kMaxWidth) {
    return config.refuse("num_attention_heads",
                         "such that num_attention_heads × head_dim is at most " + std::to_string(kMaxWidth));
  }
  sizes.vocabulary = TRY(config.integer("vocab_size", 1, kMaxVocabulary));
  sizes.context = TRY(config.integer_or("max_position_embeddings", 2048, 1, INT32_MAX));
  return sizes;
}

// Refuses what this architecture would otherwise compute wrongly.
Result<void> check_features(const ConfigReader& config) {
  const std::string activation = TRY(config.string_or("hidden_act", "silu"));
  if (activation != "silu" && activation != "swish")
    return config.refuse_unsupported("hidden_act", "silu is");
  if (TRY(config.number_or("partial_rotary_factor", 1.0, 0.0, 1.0)) != 1.0) {
    return config.refuse_unsupported("partial_rotary_factor", "llama models rotate whole heads");
  }
  return {};
}

/// Each layer's window in tokens; 0: none.
Result<std::vector<std::int32_t>> read_windows(const ConfigReader& config, const Sizes& sizes) {
  std::vector<std::int32_t> windows(static_cast<std::size_t>(sizes.layers));
  const auto* types = config.find("layer_types");
  // mistral has a window in every layer unless its configuration says otherwise, as in transformers (mlx-lm
  // ignores it there); llama only where layer_types does.
  const bool everywhere =
      types == nullptr && config.has("sliding_window") && TRY(config.string("model_type")) == "mistral";
  if (types == nullptr && !everywhere) return windows;
  if (types != nullptr && (!types->is_array() || types->get_array().size() != windows.size()))
    return config.refuse("layer_types", "a list with one entry a layer");
  for (std::size_t i = 0; i < windows.size(); ++i) {
    bool sliding = everywhere;
    if (types != nullptr) {
      const auto& type = types->get_array()[i];
      const std::string_view name =
          type.is_string() ? std::string_view(type.get_string()) : std::string_view();
      if (name != "full_attention" && name != "sliding_attention")
        return config.refuse_unsupported("layer_types", "full_attention and sliding_attention are");
      sliding = name == "sliding_attention";
    }
    if (!sliding) continue;
    const std::int64_t window = TRY(config.integer("sliding_window", 1, INT32_MAX));
    // A window as long as the context hides nothing.
    if (window < sizes.context) windows[i] = static_cast<std::int32_t>(window);
  }
  return windows;
}

/// Gives each layer its place in a layer group: one for each kind of window, in the order of their first
/// layers.
void group_layers(const std::vector<std::int32_t>& windows, ModelSpec& spec) {
  for (std::size_t i = 0; i < windows.size(); ++i) {
    AttentionSpec& attention = spec.layers[i].attention;
    std::size_t group = 0;
    while (group < spec.layer_groups.size() && spec.layer_groups[group].window_tokens != windows[i]) ++group;
    if (group == spec.layer_groups.size()) {
      spec.layer_groups.push_back({.num_kv_heads = attention.num_kv_heads,
                                   .head_dim = attention.head_dim,
                                   .window_tokens = windows[i]});
    }
    attention.layer_group = static_cast<std::int32_t>(group);
    attention.index_in_group = spec.layer_groups[group].num_layers++;
  }
}

struct LayerOptions {
  bool attention_bias = false;
  bool mlp_bias = false;
  double eps = 1e-6;
};

Result<LayerSpec> make_layer(const ArchitectureInput& input, const Sizes& sizes, const LayerOptions& options,
                             std::int32_t index) {
  const std::string prefix = "model.layers." + std::to_string(index) + ".";
  const std::int64_t q_size = sizes.heads * sizes.head_dim;
  const std::int64_t kv_size = sizes.kv_heads * sizes.head_dim;
  LayerSpec layer;
  layer.attention_norm = TRY(make_norm(input, prefix + "input_layernorm", sizes.hidden, options.eps));
  AttentionSpec& attention = layer.attention;
  const bool bias = options.attention_bias;
  attention.q_proj = TRY(make_linear(input, prefix + "self_attn.q_proj", sizes.hidden, q_size, bias));
  attention.k_proj = TRY(make_linear(input, prefix + "self_attn.k_proj", sizes.hidden, kv_size, bias));
  attention.v_proj = TRY(make_linear(input, prefix + "self_attn.v_proj", sizes.hidden, kv_size, bias));
  attention.o_proj = TRY(make_linear(input, prefix + "self_attn.o_proj", q_size, sizes.hidden, bias));
  attention.num_heads = static_cast<std::int32_t>(sizes.heads);
  attention.num_kv_heads = static_cast<std::int32_t>(sizes.kv_heads);
  attention.head_dim = static_cast<std::int32_t>(sizes.head_dim);
  attention.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(sizes.head_dim)));
  attention.rope = 0;
  layer.mlp_norm = TRY(make_norm(input, prefix + "post_attention_layernorm", sizes.hidden, options.eps));
  const bool mlp_bias = options.mlp_bias;
  layer.mlp.gate_proj =
      TRY(make_linear(input, prefix + "mlp.gate_proj", sizes.hidden, sizes.intermediate, mlp_bias));
  layer.mlp.up_proj =
      TRY(make_linear(input, prefix + "mlp.up_proj", sizes.hidden, sizes.intermediate, mlp_bias));
  layer.mlp.down_proj =
      TRY(make_linear(input, prefix + "mlp.down_proj", sizes.intermediate, sizes.hidden, mlp_bias));
  return layer;
}

Result<ModelSpec> build(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  const Sizes sizes = TRY(read_sizes(config));
  TRY(check_features(config));
  const std::vector<std::int32_t> windows = TRY(read_windows(config, sizes));
  LayerOptions options;
  options.attention_bias = TRY(config.boolean_or("attention_bias", false));
  options.mlp_bias = TRY(config.boolean_or("mlp_bias", false));
  options.eps = TRY(config.number_or("rms_norm_eps", 1e-6, 1e-12, 0.1));

  ModelSpec spec;
  spec.model_type = TRY(config.string("model_type"));
  spec.hidden_size = static_cast<std::int32_t>(sizes.hidden);
  spec.vocab_size = static_cast<std::int32_t>(sizes.vocabulary);
  spec.context_tokens = static_cast<std::int32_t>(sizes.context);
  const bool traditional = TRY(config.boolean_or("rope_traditional", false));
  spec.ropes.push_back(TRY(read_rope(config, static_cast<std::int32_t>(sizes.head_dim), traditional)));

  spec.embedding = TRY(make_linear(input, "model.embed_tokens", sizes.hidden, sizes.vocabulary, false));
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(sizes.layers); ++i) {
    spec.layers.push_back(TRY(make_layer(input, sizes, options, i)));
  }
  group_layers(windows, spec);
  spec.final_norm = TRY(make_norm(input, "model.norm", sizes.hidden, options.eps));
  // Where the configuration is silent the tensors decide: mlx-lm and transformers have opposite defaults.
  spec.tied_embeddings =
      TRY(config.boolean_or("tie_word_embeddings", input.weights.find("lm_head.weight") == nullptr));
  spec.lm_head = spec.tied_embeddings
                     ? spec.embedding
                     : TRY(make_linear(input, "lm_head", sizes.hidden, sizes.vocabulary, false));
  return spec;
}

bool is_unused(const ModelSpec& spec, std::string_view tensor_name) {
  return tensor_name.ends_with("rotary_emb.inv_freq") ||
         (spec.tied_embeddings && tensor_name.starts_with("lm_head."));
}

}  // namespace

extern const Architecture llama_architecture;
const Architecture llama_architecture{kModelTypes, build, is_unused};

}  // namespace mlxd
