// Seed-OSS: llama with a switch of its own for the output bias.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kSeedOssModelTypes = {"seed_oss"};

Result<ModelSpec> build_seed_oss(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.o_bias = TRY(config.boolean_or("attention_out_bias", false));
  TRY(plan.add_rope(config, {.traditional = TRY(config.boolean_or("rope_traditional", false))}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture seed_oss_architecture;
const Architecture seed_oss_architecture{kSeedOssModelTypes, build_seed_oss, is_unused_in_decoder};

}  // namespace mlxd
