// InternLM 3: llama with switches of its own for biases.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kInternlm3ModelTypes = {"internlm3"};

Result<ModelSpec> build_internlm3(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.set_attention_bias(TRY(config.boolean_or("qkv_bias", false)));
  plan.mlp_bias = TRY(config.boolean_or("bias", false));
  TRY(plan.add_rope(config, {.traditional = TRY(config.boolean_or("rope_traditional", false))}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture internlm3_architecture;
const Architecture internlm3_architecture{kInternlm3ModelTypes, build_internlm3, is_unused_in_decoder};

}  // namespace mlxd
