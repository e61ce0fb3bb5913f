// GPT-NeoX and Pythia: attention and a plain GELU MLP side by side, each on its own LayerNorm; a part of each
// head rotates; biases everywhere.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kGptNeoxModelTypes = {"gpt_neox"};

Result<ModelSpec> build_gpt_neox(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config, {.kv_heads = "", .head_dim = "", .eps = "layer_norm_eps"},
                                           {.intermediate_factor = 4}));
  plan.norm = NormKind::kLayer;
  plan.norm_bias = true;
  plan.set_attention_bias(true);
  plan.mlp_bias = true;
  plan.gated = false;
  // As in mlx-lm, whatever hidden_act says: with the approximation by tanh.
  plan.activation = Activation::kGeluTanh;
  plan.parallel = TRY(config.boolean_or("use_parallel_residual", true));
  plan.tied = false;
  plan.qkv_layout = QkvLayout::kGrouped;
  plan.names = {.embedding = "model.embed_in",
                .layers = "model.h.",
                .final_norm = "model.final_layer_norm",
                .lm_head = "model.embed_out",
                .o_proj = "attention.dense",
                .qkv_proj = "attention.query_key_value",
                .up_proj = "mlp.dense_h_to_4h",
                .down_proj = "mlp.dense_4h_to_h"};
  const std::int32_t rotary_dim =
      TRY(read_rotary_dim(config, plan.layers.front().head_dim, 0.25, "rotary_pct"));
  const double theta = TRY(config.number_or("rotary_emb_base", 10000.0, 1e-3, 1e12));
  TRY(plan.add_rope(config, {.rotary_dim = rotary_dim, .theta = theta}));
  return build_decoder(input, plan);
}

/// Masks and frequencies that PyTorch kept.
bool is_unused_gpt_neox(const ModelSpec& spec, std::string_view tensor_name) {
  return tensor_name.ends_with(".attention.bias") || tensor_name.ends_with(".attention.masked_bias") ||
         tensor_name.ends_with("rotary_emb.inv_freq") || is_unused_in_decoder(spec, tensor_name);
}

}  // namespace

extern const Architecture gpt_neox_architecture;
const Architecture gpt_neox_architecture{kGptNeoxModelTypes, build_gpt_neox, is_unused_gpt_neox};

}  // namespace mlxd
