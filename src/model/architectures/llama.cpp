// Llama 2 and 3.x, SmolLM2, and Mistral without a sliding window: pre-norm grouped-query attention with
// rotary positions and a SwiGLU MLP.
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
Result<void> check_features(const ConfigReader& config, const Sizes& sizes) {
  const std::string activation = TRY(config.string_or("hidden_act", "silu"));
  if (activation != "silu" && activation != "swish")
    return config.refuse_unsupported("hidden_act", "silu is");
  if (TRY(config.number_or("partial_rotary_factor", 1.0, 0.0, 1.0)) != 1.0) {
    return config.refuse_unsupported("partial_rotary_factor", "llama models rotate whole heads");
  }
  // mistral has a window in every layer unless its configuration says otherwise; llama only where layer_types
  // does.
  bool sliding = TRY(config.string("model_type")) == "mistral";
  if (const auto* types = config.find("layer_types")) {
    if (!types->is_array() || types->get_array().size() != static_cast<std::size_t>(sizes.layers)) {
      return config.refuse("layer_types", "a list with one entry a layer");
    }
    sliding = false;
    for (const auto& type : types->get_array()) {
      const std::string_view name =
          type.is_string() ? std::string_view(type.get_string()) : std::string_view();
      if (name != "full_attention" && name != "sliding_attention") {
        return config.refuse_unsupported("layer_types", "full_attention is");
      }
      sliding = sliding || name == "sliding_attention";
    }
  }
  // A window as long as the context hides nothing.
  if (sliding && config.has("sliding_window") &&
      TRY(config.integer("sliding_window", 1, INT32_MAX)) < sizes.context) {
    return config.refuse_unsupported("sliding_window", "models with full attention in every layer are");
  }
  return {};
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
  attention.layer_group = 0;
  attention.index_in_group = index;
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
  TRY(check_features(config, sizes));
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
  spec.layer_groups.push_back({LayerGroupKind::kFullAttention, static_cast<std::int32_t>(sizes.layers),
                               static_cast<std::int32_t>(sizes.kv_heads),
                               static_cast<std::int32_t>(sizes.head_dim)});

  spec.embedding = TRY(make_linear(input, "model.embed_tokens", sizes.hidden, sizes.vocabulary, false));
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(sizes.layers); ++i) {
    spec.layers.push_back(TRY(make_layer(input, sizes, options, i)));
  }
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
