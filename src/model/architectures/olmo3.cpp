// OLMo 3: OLMo 2 with a window in three of four layers, whose rotation is not scaled.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kOlmo3ModelTypes = {"olmo3"};

Result<ModelSpec> build_olmo3(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.head_norms = HeadNorms::kAllHeads;
  plan.names.norm_outputs_only();
  plan.mlp_bias = false;
  TRY(plan.add_rope(config, {}));
  TRY(plan.add_rope(config, {.scaled = false}));
  TRY(plan.read_windows(config, [](std::size_t i) { return (i + 1) % 4 != 0; }));
  for (LayerPlan& layer : plan.layers) {
    if (layer.slides) layer.rope = 1;
  }
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture olmo3_architecture;
const Architecture olmo3_architecture{kOlmo3ModelTypes, build_olmo3, is_unused_in_decoder};

}  // namespace mlxd
