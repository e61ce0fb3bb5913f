// DeepSeekMoE (V1): llama; after some dense layers experts weighed by a softmax over all, and shared ones.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kDeepseekModelTypes = {"deepseek"};

Result<ModelSpec> build_deepseek(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.tied = false;
  TRY(plan.add_rope(config, {}));
  if (!config.has("n_routed_experts")) return build_decoder(input, plan);
  MoePlan moe;
  TRY(moe.read_sizes(config, "n_routed_experts", "num_experts_per_tok", "moe_intermediate_size"));
  TRY(moe.read_shared(config, "n_shared_experts"));
  TRY(plan.use_experts(config, std::move(moe), "first_k_dense_replace"));
  TRY(plan.thin_experts(config, "moe_layer_freq"));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture deepseek_architecture;
const Architecture deepseek_architecture{kDeepseekModelTypes, build_deepseek, is_unused_in_decoder};

}  // namespace mlxd
