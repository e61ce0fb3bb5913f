// EXAONE 4: norms after attention and MLP only, and over each query and key; layers of a pattern, of which
// those with a window rotate.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kExaone4ModelTypes = {"exaone4"};

Result<ModelSpec> build_exaone4(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.set_attention_bias(false);
  plan.mlp_bias = false;
  plan.head_norms = HeadNorms::kEachHead;
  plan.names.norm_outputs_only();
  TRY(plan.add_rope(config, {}));
  const std::string pattern = TRY(config.string_or("sliding_window_pattern", ""));
  if (!pattern.empty()) {
    TRY(plan.read_windows(config, [&](std::size_t i) { return pattern[i % pattern.size()] == 'L'; }));
    for (LayerPlan& layer : plan.layers) {
      if (!layer.slides) layer.rope.reset();
    }
  }
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture exaone4_architecture;
const Architecture exaone4_architecture{kExaone4ModelTypes, build_exaone4, is_unused_in_decoder};

}  // namespace mlxd
