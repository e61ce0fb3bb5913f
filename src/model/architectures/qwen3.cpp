// Qwen3: llama with a norm over each query and key before it rotates.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"qwen3"};

Result<ModelSpec> build(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.head_norms = HeadNorms::kEachHead;
  TRY(plan.add_rope(config, {.default_theta = 1e6}));
  // As in transformers; mlx-lm ignores the windows, which no published model uses.
  TRY(plan.read_late_windows(config));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture qwen3_architecture;
const Architecture qwen3_architecture{kModelTypes, build, is_unused_in_decoder};

}  // namespace mlxd
