// DeepSeek V3 and R1, Kimi K2, GLM 4.7 Flash: latent attention; after some dense layers experts, chosen by
// corrected sigmoids within groups, and shared ones. Layers of multi-token prediction are left out. Kimi VL
// and K2.5 hold the text model's configuration and tensors beside a vision tower's.
#include <array>

#include "model/decoder_plan.h"
#include "model/nested_text_model.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 6> kDeepseekV3ModelTypes = {
    "deepseek_v3", "kimi_k2", "joyai_llm_flash", "glm4_moe_lite", "kimi_k25", "kimi_vl"};

Result<ModelSpec> build_text_deepseek_v3(const ArchitectureInput& input, std::string_view prefix,
                                         const ConfigReader& config) {
  DecoderPlan plan = TRY(DecoderPlan::read(config, {.head_dim = "qk_rope_head_dim"}));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.names.add_prefix(prefix);
  plan.mlp_bias = false;
  plan.tied = false;
  TRY(plan.add_rope(config, {.traditional = true}));
  TRY(plan.use_latents(config));
  if (plan.model_type == "glm4_moe_lite") plan.latent->eps = plan.eps;
  const std::string method = TRY(config.string_or("topk_method", "noaux_tc"));
  if (method != "noaux_tc") return config.refuse_unsupported("topk_method", "noaux_tc is");
  if (config.has("n_routed_experts"))
    TRY(plan.use_experts(config, TRY(MoePlan::read_deepseek(config)), "first_k_dense_replace"));
  TRY(plan.thin_experts(config, "moe_layer_freq"));
  return build_decoder(input, plan);
}

Result<ModelSpec> build_deepseek_v3(const ArchitectureInput& input) {
  return build_text_model(input, build_text_deepseek_v3);
}

bool is_unused_deepseek_v3(const ModelSpec& spec, std::string_view tensor_name) {
  return is_past_layers(spec, tensor_name) || is_unused_beside_vision(spec, tensor_name);
}

}  // namespace

extern const Architecture deepseek_v3_architecture;
const Architecture deepseek_v3_architecture{kDeepseekV3ModelTypes, build_deepseek_v3, is_unused_deepseek_v3};

}  // namespace mlxd
