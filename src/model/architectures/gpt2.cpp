// GPT-2 and StarCoder 1 (gpt_bigcode, whose heads share one key and value): learned positions, LayerNorms,
// biases everywhere, and a plain GELU MLP.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 2> kModelTypes = {"gpt2", "gpt_bigcode"};

Result<ModelSpec> build(const ArchitectureInput& input) {
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
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture gpt2_architecture;
const Architecture gpt2_architecture{kModelTypes, build, is_unused_in_decoder};

}  // namespace mlxd
