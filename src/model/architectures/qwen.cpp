// Qwen (the first): biased queries, keys and values in one tensor, MLPs of half the width that the
// configuration says.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kQwenModelTypes = {"qwen"};

Result<ModelSpec> build_qwen(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  ConfigNames names;
  names.eps = "layer_norm_epsilon";
  names.kv_heads.clear();
  names.head_dim = "kv_channels";
  DecoderPlan plan = TRY(DecoderPlan::read(config, names));
  const LayerPlan& first = plan.layers.front();
  if (first.heads * first.head_dim != plan.hidden)
    return config.refuse("kv_channels", "hidden_size / num_attention_heads");
  if (first.intermediate % 2 != 0) return config.refuse("intermediate_size", "an even number");
  for (LayerPlan& layer : plan.layers) layer.intermediate /= 2;
  const bool bias = !TRY(config.boolean_or("no_bias", true));
  plan.set_qkv_bias(true);
  plan.o_bias = plan.mlp_bias = plan.lm_head_bias = bias;
  plan.tied = false;
  plan.names.embedding = "transformer.wte";
  plan.names.layers = "transformer.h.";
  plan.names.final_norm = "transformer.ln_f";
  plan.names.attention_norm = "ln_1";
  plan.names.mlp_norm = "ln_2";
  plan.names.qkv_proj = "attn.c_attn";
  plan.names.o_proj = "attn.c_proj";
  plan.names.gate_proj = "mlp.w2";
  plan.names.up_proj = "mlp.w1";
  plan.names.down_proj = "mlp.c_proj";
  // As in mlx-lm, whatever rotary_emb_base says.
  TRY(plan.add_rope(config, {.theta = 10000.0, .scaled = false}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture qwen_architecture;
const Architecture qwen_architecture{kQwenModelTypes, build_qwen, is_unused_in_decoder};

}  // namespace mlxd
