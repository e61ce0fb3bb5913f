// dots.llm1: qwen3-like attention; after some dense layers experts, chosen by corrected sigmoids within
// groups, and shared ones.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"dots1"};

Result<ModelSpec> build(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.set_attention_bias(false);
  plan.head_norms = HeadNorms::kEachHead;
  MoePlan moe;
  TRY(moe.read_sizes(config, "n_routed_experts", "num_experts_per_tok", "moe_intermediate_size"));
  TRY(moe.read_groups(config));
  moe.router.scoring = RouterScoring::kSigmoid;
  moe.router.normalize = moe.router.experts_per_token > 1 && TRY(config.boolean_or("norm_topk_prob", true));
  moe.router.scale = static_cast<float>(TRY(config.number_or("routed_scaling_factor", 1.0, 1e-6, 1e6)));
  moe.correction_bias = "mlp.gate.e_score_correction_bias";
  moe.experts = "mlp.experts";
  moe.shared_expert = "mlp.shared_experts";
  moe.shared_intermediate = moe.intermediate * TRY(config.integer_or("n_shared_experts", 0, 0, kMaxExperts));
  plan.moe = std::move(moe);
  const std::int64_t dense_layers = TRY(config.integer_or("first_k_dense_replace", 0, 0, kMaxLayers));
  for (std::size_t i = 0; i < plan.layers.size(); ++i)
    plan.layers[i].moe = static_cast<std::int64_t>(i) >= dense_layers;
  TRY(plan.add_rope(config, {}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture dots1_architecture;
const Architecture dots1_architecture{kModelTypes, build, is_unused_in_decoder};

}  // namespace mlxd
