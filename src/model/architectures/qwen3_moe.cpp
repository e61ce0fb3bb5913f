// Qwen3 MoE: qwen3 with experts in all layers but some.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"qwen3_moe"};

Result<ModelSpec> build(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.head_norms = HeadNorms::kEachHead;
  MoePlan moe;
  TRY(moe.read_sizes(config, "num_experts", "num_experts_per_tok", "moe_intermediate_size"));
  moe.router.normalize = TRY(config.boolean_or("norm_topk_prob", false));
  plan.moe = std::move(moe);
  const std::int64_t interval = TRY(config.integer_or("decoder_sparse_step", 1, 1, kMaxLayers));
  for (std::size_t i = 0; i < plan.layers.size(); ++i)
    plan.layers[i].moe = (static_cast<std::int64_t>(i) + 1) % interval == 0;
  if (const auto* dense = config.find("mlp_only_layers")) {
    if (!dense->is_array()) return config.refuse("mlp_only_layers", "a list of layers");
    for (const auto& index : dense->get_array()) {
      const std::int64_t* layer = index.if_int64();
      if (layer == nullptr || *layer < 0 || *layer >= static_cast<std::int64_t>(plan.layers.size()))
        return config.refuse("mlp_only_layers", "a list of layers");
      plan.layers[static_cast<std::size_t>(*layer)].moe = false;
    }
  }
  TRY(plan.add_rope(config, {.default_theta = 1e6}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture qwen3_moe_architecture;
const Architecture qwen3_moe_architecture{kModelTypes, build, is_unused_in_decoder};

}  // namespace mlxd
