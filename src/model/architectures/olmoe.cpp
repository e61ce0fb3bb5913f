// OLMoE: llama with norms over all queries and keys together, and experts in each layer.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kOlmoeModelTypes = {"olmoe"};

Result<ModelSpec> build_olmoe(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.head_norms = HeadNorms::kAllHeads;
  MoePlan moe;
  TRY(moe.read_sizes(config, "num_experts", "num_experts_per_tok", "intermediate_size"));
  moe.router.normalize = TRY(config.boolean_or("norm_topk_prob", false));
  moe.expert_bias = plan.mlp_bias;
  plan.use_experts(std::move(moe));
  TRY(plan.add_rope(config, {.traditional = TRY(config.boolean_or("rope_traditional", false))}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture olmoe_architecture;
const Architecture olmoe_architecture{kOlmoeModelTypes, build_olmoe, is_unused_in_decoder};

}  // namespace mlxd
