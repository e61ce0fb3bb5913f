// Phi-3.5-MoE: LayerNorms, biases, and two experts chosen and weighed one after the other.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kPhimoeModelTypes = {"phimoe"};

Result<ModelSpec> build_phimoe(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  plan.norm = NormKind::kLayer;
  plan.norm_bias = true;
  plan.set_attention_bias(true);
  plan.lm_head_bias = true;
  plan.tied = false;
  MoePlan moe;
  TRY(moe.read_sizes(config, "num_local_experts", "num_experts_per_tok", "intermediate_size"));
  moe.router.scoring = RouterScoring::kSparseMixer;
  moe.router.jitter = static_cast<float>(TRY(config.number_or("router_jitter_noise", 0.01, 0.0, 1.0)));
  moe.name_block_sparse();
  plan.use_experts(std::move(moe));
  TRY(plan.add_rope(config, {}));
  const auto scaling = TRY(config.object("rope_scaling"));
  if (scaling && scaling->has("long_mscale"))
    plan.ropes.front().attention_factor = static_cast<float>(TRY(scaling->number("long_mscale", 1e-3, 1e3)));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture phimoe_architecture;
const Architecture phimoe_architecture{kPhimoeModelTypes, build_phimoe, is_unused_in_decoder};

}  // namespace mlxd
