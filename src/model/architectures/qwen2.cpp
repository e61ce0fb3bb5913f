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
  const bool sliding = TRY(config.boolean_or("use_sliding_window", false));
  const std::int64_t full_layers = TRY(config.integer_or("max_window_layers", 28, 0, kMaxLayers));
  if (sliding) {
    TRY(plan.read_windows(config,
                          [&](std::size_t i) { return static_cast<std::int64_t>(i) >= full_layers; }));
  }
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture qwen2_architecture;
const Architecture qwen2_architecture{kModelTypes, build, is_unused_in_decoder};

}  // namespace mlxd
