// Phi-3 and 4: llama whose queries, keys and values are one tensor, and gate and up another.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kPhi3ModelTypes = {"phi3"};

Result<ModelSpec> build_phi3(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.names.qkv_proj = "self_attn.qkv_proj";
  plan.names.gate_up_proj = "mlp.gate_up_proj";
  const std::int32_t rotary_dim = TRY(read_rotary_dim(config, plan.layers.front().head_dim, 1.0));
  TRY(plan.add_rope(
      config, {.rotary_dim = rotary_dim, .traditional = TRY(config.boolean_or("rope_traditional", false))}));
  // As in transformers; mlx-lm ignores it, which shows only beyond it.
  TRY(plan.read_windows(config, [](std::size_t) { return true; }));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture phi3_architecture;
const Architecture phi3_architecture{kPhi3ModelTypes, build_phi3, is_unused_in_decoder};

}  // namespace mlxd
