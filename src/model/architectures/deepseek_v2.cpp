// DeepSeek V2: latent attention; after some dense layers experts weighed by a softmax over all, chosen within
// the groups that have the best, and shared ones.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kDeepseekV2ModelTypes = {"deepseek_v2"};

Result<MoePlan> read_experts_deepseek_v2(const ConfigReader& config) {
  MoePlan moe;
  TRY(moe.read_sizes(config, "n_routed_experts", "num_experts_per_tok", "moe_intermediate_size"));
  TRY(moe.read_shared(config, "n_shared_experts"));
  const std::string method = TRY(config.string_or("topk_method", "greedy"));
  if (method == "group_limited_greedy") {
    TRY(moe.read_groups(config));
    moe.router.group_best = 1;
  } else if (method != "greedy") {
    return config.refuse_unsupported("topk_method", "greedy and group_limited_greedy are");
  }
  // As in mlx-lm, whatever norm_topk_prob says.
  moe.router.scale = static_cast<float>(TRY(config.number_or("routed_scaling_factor", 1.0, 1e-6, 1e6)));
  return moe;
}

Result<ModelSpec> build_deepseek_v2(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config, {.head_dim = "qk_rope_head_dim"}));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.mlp_bias = false;
  plan.tied = false;
  TRY(plan.add_rope(config, {.traditional = true}));
  TRY(plan.use_latents(config));
  if (config.has("n_routed_experts"))
    TRY(plan.use_experts(config, TRY(read_experts_deepseek_v2(config)), "first_k_dense_replace"));
  TRY(plan.thin_experts(config, "moe_layer_freq"));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture deepseek_v2_architecture;
const Architecture deepseek_v2_architecture{kDeepseekV2ModelTypes, build_deepseek_v2, is_unused_in_decoder};

}  // namespace mlxd
