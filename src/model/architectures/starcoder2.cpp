// StarCoder 2: LayerNorms, biases everywhere, and a plain GELU MLP.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kStarcoder2ModelTypes = {"starcoder2"};

Result<ModelSpec> build_starcoder2(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config, {.eps = "norm_epsilon"}));
  plan.norm = NormKind::kLayer;
  plan.norm_bias = true;
  plan.set_attention_bias(true);
  plan.mlp_bias = true;
  plan.gated = false;
  // As in mlx-lm, whatever hidden_act says: without the approximation by tanh.
  plan.activation = Activation::kGelu;
  plan.names.up_proj = "mlp.c_fc";
  plan.names.down_proj = "mlp.c_proj";
  TRY(plan.add_rope(config, {.default_theta = 100000.0}));
  // As in transformers; mlx-lm ignores it, which shows only beyond it.
  TRY(plan.read_windows(config, [](std::size_t) { return true; }));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture starcoder2_architecture;
const Architecture starcoder2_architecture{kStarcoder2ModelTypes, build_starcoder2, is_unused_in_decoder};

}  // namespace mlxd
