// OLMo 2: norms only after attention and MLP, and over all queries and keys together.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kOlmo2ModelTypes = {"olmo2"};

Result<ModelSpec> build_olmo2(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.head_norms = HeadNorms::kAllHeads;
  plan.names.norm_outputs_only();
  TRY(plan.add_rope(config, {.traditional = TRY(config.boolean_or("rope_traditional", false))}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture olmo2_architecture;
const Architecture olmo2_architecture{kOlmo2ModelTypes, build_olmo2, is_unused_in_decoder};

}  // namespace mlxd
