// MiniMax M2: norms over all queries and keys together, a part of each head rotates, experts chosen by
// corrected sigmoids.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 2> kMinimaxModelTypes = {"minimax", "minimax_m2"};

Result<ModelSpec> build_minimax(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.set_attention_bias(false);
  if (TRY(config.boolean_or("use_qk_norm", true))) plan.head_norms = HeadNorms::kAllHeads;
  MoePlan moe;
  TRY(moe.read_sizes(config, "num_local_experts", "num_experts_per_tok", "intermediate_size"));
  moe.router.scoring = RouterScoring::kSigmoid;
  moe.router.normalize = true;
  moe.router.normalize_eps = 1e-20F;
  moe.name_block_sparse();
  moe.correction_bias = "block_sparse_moe.e_score_correction_bias";
  plan.use_experts(std::move(moe));
  const std::int64_t rotary_dim =
      TRY(config.integer_or("rotary_dim", plan.layers.front().head_dim, 2, plan.layers.front().head_dim));
  if (rotary_dim % 2 != 0) return config.refuse("rotary_dim", "an even number");
  TRY(plan.add_rope(config, {.rotary_dim = static_cast<std::int32_t>(rotary_dim)}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture minimax_architecture;
const Architecture minimax_architecture{kMinimaxModelTypes, build_minimax, is_unused_in_decoder};

}  // namespace mlxd
