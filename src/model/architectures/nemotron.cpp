// Nemotron: LayerNorms with 1 added to their weights, half of each head rotates, a squared ReLU MLP.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kNemotronModelTypes = {"nemotron"};

Result<ModelSpec> build_nemotron(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config, {.eps = "norm_eps"}));
  plan.norm = NormKind::kLayer;
  plan.norm_bias = true;
  plan.norm_offset = 1.0F;
  plan.gated = false;
  plan.activation = Activation::kRelu2;
  TRY(expect_activation(config, {"relu2"}));
  const std::int32_t rotary_dim = TRY(read_rotary_dim(config, plan.layers.front().head_dim, 0.5));
  TRY(plan.add_rope(config, {.rotary_dim = rotary_dim}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture nemotron_architecture;
const Architecture nemotron_architecture{kNemotronModelTypes, build_nemotron, is_unused_in_decoder};

}  // namespace mlxd
