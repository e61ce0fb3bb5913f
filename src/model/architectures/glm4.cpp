// GLM-4: half of each head rotates, in neighbouring pairs; gate and up are one tensor. glm4 has norms after
// attention and MLP too.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 2> kGlm4ModelTypes = {"glm", "glm4"};

Result<ModelSpec> build_glm4(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.o_bias = false;
  plan.names.gate_up_proj = "mlp.gate_up_proj";
  // glm rotates the part that its configuration says, as in transformers; mlx-lm rotates whole heads there.
  const bool second = plan.model_type == "glm4";
  if (second) {
    plan.names.attention_post_norm = "post_self_attn_layernorm";
    plan.names.mlp_post_norm = "post_mlp_layernorm";
  }
  const std::int32_t rotary_dim =
      TRY(read_rotary_dim(config, plan.layers.front().head_dim, second ? 0.5 : 1.0));
  TRY(plan.add_rope(
      config, {.rotary_dim = rotary_dim, .traditional = TRY(config.boolean_or("rope_traditional", true))}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture glm4_architecture;
const Architecture glm4_architecture{kGlm4ModelTypes, build_glm4, is_unused_in_decoder};

}  // namespace mlxd
