// ERNIE 4.5 (dense): llama whose neighbouring pairs rotate.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kErnie45ModelTypes = {"ernie4_5"};

Result<ModelSpec> build_ernie4_5(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  const bool bias = TRY(config.boolean_or("use_bias", false));
  plan.set_attention_bias(bias);
  plan.mlp_bias = bias;
  TRY(plan.add_rope(config, {.traditional = true}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture ernie4_5_architecture;
const Architecture ernie4_5_architecture{kErnie45ModelTypes, build_ernie4_5, is_unused_in_decoder};

}  // namespace mlxd
