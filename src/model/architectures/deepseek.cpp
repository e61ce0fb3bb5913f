// DeepSeekMoE (V1): llama; after some dense layers experts weighed by a softmax over all, and shared ones.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"deepseek"};

Result<ModelSpec> build(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.tied = false;
  TRY(plan.add_rope(config, {}));
  if (!config.has("n_routed_experts")) return build_decoder(input, plan);
  MoePlan moe;
  TRY(moe.read_sizes(config, "n_routed_experts", "num_experts_per_tok", "moe_intermediate_size"));
  TRY(moe.read_shared(config, "n_shared_experts"));
  plan.moe = std::move(moe);
  const std::int64_t dense_layers = TRY(config.integer_or("first_k_dense_replace", 0, 0, kMaxLayers));
  const std::int64_t interval = TRY(config.integer_or("moe_layer_freq", 1, 1, kMaxLayers));
  for (std::size_t i = 0; i < plan.layers.size(); ++i) {
    const auto index = static_cast<std::int64_t>(i);
    plan.layers[i].moe = index >= dense_layers && index % interval == 0;
  }
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture deepseek_architecture;
const Architecture deepseek_architecture{kModelTypes, build, is_unused_in_decoder};

}  // namespace mlxd
