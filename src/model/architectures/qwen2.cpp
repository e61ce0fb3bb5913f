// Qwen2 and 2.5: llama with biases on queries, keys and values.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"qwen2"};

Result<ModelSpec> build(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.set_attention_bias(false);
  plan.set_qkv_bias(true);
  TRY(plan.add_rope(
      config, {.traditional = TRY(config.boolean_or("rope_traditional", false)), .default_theta = 1e6}));
  // As in transformers; mlx-lm ignores the windows, which no published model uses.
  TRY(plan.read_late_windows(config));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture qwen2_architecture;
const Architecture qwen2_architecture{kModelTypes, build, is_unused_in_decoder};

}  // namespace mlxd
