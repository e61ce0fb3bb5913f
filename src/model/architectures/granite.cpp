// Granite 3: llama with multipliers on embeddings, scores, residuals and logits. granitemoe has experts in
// each layer, weighed by a softmax over the chosen.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 2> kGraniteModelTypes = {"granite", "granitemoe"};

Result<ModelSpec> build_granite(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.attention_scale = TRY(config.number("attention_multiplier", 1e-9, 1e6));
  plan.embedding_scale = TRY(config.number("embedding_multiplier", 1e-9, 1e6));
  plan.residual_scale = TRY(config.number("residual_multiplier", 1e-9, 1e6));
  plan.logits_scale = 1.0 / TRY(config.number("logits_scaling", 1e-9, 1e6));
  TRY(plan.add_rope(config, {}));
  if (plan.model_type == "granite") return build_decoder(input, plan);
  MoePlan moe;
  TRY(moe.read_sizes(config, "num_local_experts", "num_experts_per_tok", "intermediate_size"));
  moe.router.scoring = RouterScoring::kSoftmaxOfChosen;
  moe.router_name = "block_sparse_moe.router.layer";
  moe.experts = "block_sparse_moe.switch_mlp";
  moe.fused_gate_up = "block_sparse_moe.input_linear";
  moe.fused_down = "block_sparse_moe.switch_mlp.down_proj";
  plan.use_experts(std::move(moe));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture granite_architecture;
const Architecture granite_architecture{kGraniteModelTypes, build_granite, is_unused_in_decoder};

}  // namespace mlxd
