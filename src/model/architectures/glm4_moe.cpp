// GLM-4.5 and 4.6, Solar Open: a part of each head rotates; after some dense layers experts, chosen by
// corrected sigmoids within groups, and shared ones. Its multi-token prediction layer is left out.
#include <array>
#include <string>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 2> kGlm4MoeModelTypes = {"glm4_moe", "solar_open"};

bool is_unused_glm4_moe(const ModelSpec& spec, std::string_view tensor_name) {
  return is_past_layers(spec, tensor_name) || is_unused_in_decoder(spec, tensor_name);
}

Result<ModelSpec> build_glm4_moe(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.o_bias = false;
  if (TRY(config.boolean_or("use_qk_norm", false))) plan.head_norms = HeadNorms::kEachHead;
  TRY(plan.use_experts(config, TRY(MoePlan::read_deepseek(config)), "first_k_dense_replace"));
  const std::int32_t rotary_dim = TRY(read_rotary_dim(config, plan.layers.front().head_dim, 0.5));
  TRY(plan.add_rope(config, {.rotary_dim = rotary_dim}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture glm4_moe_architecture;
const Architecture glm4_moe_architecture{kGlm4MoeModelTypes, build_glm4_moe, is_unused_glm4_moe};

}  // namespace mlxd
