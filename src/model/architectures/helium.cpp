// Helium: llama whose neighbouring pairs rotate.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kHeliumModelTypes = {"helium"};

Result<ModelSpec> build_helium(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.o_bias = false;
  TRY(plan.add_rope(config, {.traditional = true}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture helium_architecture;
const Architecture helium_architecture{kHeliumModelTypes, build_helium, is_unused_in_decoder};

}  // namespace mlxd
