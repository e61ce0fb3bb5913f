// MiMo: llama with biases on queries, keys and values; its multi-token prediction layers are left out.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kMimoModelTypes = {"mimo"};

Result<ModelSpec> build_mimo(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.set_attention_bias(false);
  plan.set_qkv_bias(true);
  plan.mlp_bias = false;
  TRY(plan.add_rope(config, {.traditional = TRY(config.boolean_or("rope_traditional", false))}));
  return build_decoder(input, plan);
}

bool is_unused_mimo(const ModelSpec& spec, std::string_view tensor_name) {
  return tensor_name.starts_with("model.mtp_layers.") || is_unused_in_decoder(spec, tensor_name);
}

}  // namespace

extern const Architecture mimo_architecture;
const Architecture mimo_architecture{kMimoModelTypes, build_mimo, is_unused_mimo};

}  // namespace mlxd
