// Qwen1.5 and 2 MoE: qwen2 with experts and a gated shared one in each layer.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kQwen2MoeModelTypes = {"qwen2_moe"};

Result<ModelSpec> build_qwen2_moe(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.set_attention_bias(false);
  plan.set_qkv_bias(true);
  MoePlan moe;
  TRY(moe.read_sizes(config, "num_experts", "num_experts_per_tok", "moe_intermediate_size"));
  // As in mlx-lm, whatever norm_topk_prob says.
  moe.router.normalize = false;
  moe.shared_intermediate = TRY(config.integer("shared_expert_intermediate_size", 1, kMaxWidth));
  moe.shared_gate = "mlp.shared_expert_gate";
  plan.use_experts(std::move(moe));
  TRY(plan.add_rope(
      config, {.traditional = TRY(config.boolean_or("rope_traditional", false)), .default_theta = 1e6}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture qwen2_moe_architecture;
const Architecture qwen2_moe_architecture{kQwen2MoeModelTypes, build_qwen2_moe, is_unused_in_decoder};

}  // namespace mlxd
