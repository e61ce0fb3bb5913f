// Phi-1 to 2: attention and a plain GELU MLP side by side on one LayerNorm; biases everywhere.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kPhiModelTypes = {"phi"};

Result<ModelSpec> build_phi(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config, {.eps = "layer_norm_eps"}));
  plan.norm = NormKind::kLayer;
  plan.norm_bias = true;
  plan.set_attention_bias(true);
  plan.mlp_bias = true;
  plan.lm_head_bias = true;
  plan.parallel = true;
  plan.gated = false;
  plan.activation = Activation::kGeluTanh;
  plan.tied = false;
  plan.names.final_norm = "model.final_layernorm";
  plan.names.mlp_norm.clear();
  plan.names.o_proj = "self_attn.dense";
  plan.names.up_proj = "mlp.fc1";
  plan.names.down_proj = "mlp.fc2";
  const std::int32_t rotary_dim = TRY(read_rotary_dim(config, plan.layers.front().head_dim, 0.4));
  TRY(plan.add_rope(config, {.rotary_dim = rotary_dim}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture phi_architecture;
const Architecture phi_architecture{kPhiModelTypes, build_phi, is_unused_in_decoder};

}  // namespace mlxd
