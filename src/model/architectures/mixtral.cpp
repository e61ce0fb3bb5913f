// Mixtral: llama with a mixture of experts in each layer, weighed by a softmax over the chosen.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kMixtralModelTypes = {"mixtral"};

Result<ModelSpec> build_mixtral(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  MoePlan moe;
  TRY(moe.read_sizes(config, "num_local_experts", "num_experts_per_tok", "intermediate_size"));
  moe.router.scoring = RouterScoring::kSoftmaxOfChosen;
  moe.name_block_sparse();
  plan.use_experts(std::move(moe));
  TRY(plan.add_rope(
      config, {.traditional = TRY(config.boolean_or("rope_traditional", false)), .default_theta = 1e6}));
  // As in transformers; mlx-lm ignores it, which shows only beyond it.
  TRY(plan.read_windows(config, [](std::size_t) { return true; }));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture mixtral_architecture;
const Architecture mixtral_architecture{kMixtralModelTypes, build_mixtral, is_unused_in_decoder};

}  // namespace mlxd
