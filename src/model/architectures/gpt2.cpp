// GPT-2 and StarCoder 1 (gpt_bigcode, whose heads share one key and value): learned positions, LayerNorms,
// biases everywhere, and a plain GELU MLP.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 2> kGpt2ModelTypes = {"gpt2", "gpt_bigcode"};

Result<ModelSpec> build_gpt2(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  const bool bigcode = TRY(config.string("model_type")) == "gpt_bigcode";
  const bool multi_query = bigcode && TRY(config.boolean_or("multi_query", true));
  DecoderPlan plan = TRY(DecoderPlan::read(config,
                                           {.hidden = "n_embd",
                                            .layers = "n_layer",
                                            .intermediate = "n_inner",
                                            .heads = "n_head",
                                            .kv_heads = "",
                                            .head_dim = "",
                                            .eps = "layer_norm_epsilon",
                                            .context = "n_positions"},
                                           {.kv_heads = multi_query ? 1 : 0, .intermediate_factor = 4}));
  plan.norm = NormKind::kLayer;
  plan.norm_bias = true;
  plan.set_attention_bias(!bigcode || TRY(config.boolean_or("attention_bias", true)));
  plan.mlp_bias = !bigcode || TRY(config.boolean_or("mlp_bias", true));
  plan.gated = false;
  plan.activation = bigcode ? Activation::kGelu : Activation::kGeluTanh;
  plan.tied = !bigcode || TRY(config.boolean_or("tie_word_embeddings", true));
  const std::string prefix = bigcode ? "transformer." : "model.";
  plan.names = {.embedding = prefix + "wte",
                .layers = prefix + "h.",
                .final_norm = prefix + "ln_f",
                .attention_norm = "ln_1",
                .mlp_norm = "ln_2",
                .o_proj = "attn.c_proj",
                .qkv_proj = "attn.c_attn",
                .up_proj = "mlp.c_fc",
                .down_proj = "mlp.c_proj"};
  plan.position_embedding = prefix + "wpe";
  plan.num_positions = plan.context;
  for (LayerPlan& layer : plan.layers) layer.rope.reset();
  // As transformers has it, with "Conv1D" matrices: its names have no prefix, or another one.
  const TensorView* first = input.weights.find("model.h.0.attn.c_attn.weight");
  plan.transposed = !bigcode && first != nullptr && !first->name.starts_with("model.");
  return build_decoder(input, plan);
}

/// Masks that PyTorch kept.
bool is_unused_gpt2(const ModelSpec& spec, std::string_view tensor_name) {
  return tensor_name.ends_with(".attn.bias") || tensor_name.ends_with(".attn.masked_bias") ||
         is_unused_in_decoder(spec, tensor_name);
}

}  // namespace

extern const Architecture gpt2_architecture;
const Architecture gpt2_architecture{kGpt2ModelTypes, build_gpt2, is_unused_gpt2};

}  // namespace mlxd
