// StableLM: LayerNorms, a part of each head rotates; attention and MLP in turn or side by side.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kStablelmModelTypes = {"stablelm"};

Result<ModelSpec> build_stablelm(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config, {.eps = "layer_norm_eps"}));
  TRY(expect_activation(config, {"silu", "swish"}));
  if (TRY(config.boolean_or("qk_layernorm", false)))
    return config.refuse_unsupported("qk_layernorm", "models without it are");
  plan.norm = NormKind::kLayer;
  plan.norm_bias = true;
  plan.set_attention_bias(false);
  plan.set_qkv_bias(TRY(config.boolean_or("use_qkv_bias", false)));
  plan.mlp_bias = false;
  plan.tied = false;
  plan.parallel = TRY(config.boolean_or("use_parallel_residual", false));
  if (plan.parallel) plan.names.mlp_norm.clear();
  TRY(plan.add_rope(config,
                    {.rotary_dim = TRY(read_rotary_dim(config, plan.layers.front().head_dim, 0.25))}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture stablelm_architecture;
const Architecture stablelm_architecture{kStablelmModelTypes, build_stablelm, is_unused_in_decoder};

}  // namespace mlxd
