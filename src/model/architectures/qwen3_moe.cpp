// Qwen3 MoE: qwen3 with experts in all layers but some. qwen3_vl_moe holds it beside a vision tower.
#include <array>

#include "model/decoder_plan.h"
#include "model/nested_text_model.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 2> kQwen3MoeModelTypes = {"qwen3_moe", "qwen3_vl_moe"};

Result<ModelSpec> build_text_qwen3_moe(const ArchitectureInput& input, std::string_view prefix,
                                       const ConfigReader& config) {
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  plan.names.add_prefix(prefix);
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.head_norms = HeadNorms::kEachHead;
  MoePlan moe;
  TRY(moe.read_sizes(config, "num_experts", "num_experts_per_tok", "moe_intermediate_size"));
  moe.router.normalize = TRY(config.boolean_or("norm_topk_prob", false));
  moe.fused_transposed = true;
  plan.moe = std::move(moe);
  const std::int64_t interval = TRY(config.integer_or("decoder_sparse_step", 1, 1, kMaxLayers));
  for (std::size_t i = 0; i < plan.layers.size(); ++i)
    plan.layers[i].moe = (static_cast<std::int64_t>(i) + 1) % interval == 0;
  TRY(plan.keep_dense(config, "mlp_only_layers"));
  TRY(plan.add_rope(config, {.default_theta = 1e6}));
  return build_decoder(input, plan);
}

Result<ModelSpec> build_qwen3_moe(const ArchitectureInput& input) {
  return build_text_model(input, build_text_qwen3_moe);
}

}  // namespace

extern const Architecture qwen3_moe_architecture;
const Architecture qwen3_moe_architecture{kQwen3MoeModelTypes, build_qwen3_moe, is_unused_beside_vision};

}  // namespace mlxd
