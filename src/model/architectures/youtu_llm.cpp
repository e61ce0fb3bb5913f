// Youtu-LLM: llama with latent attention.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kYoutuLlmModelTypes = {"youtu_llm"};

Result<ModelSpec> build_youtu_llm(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config, {.head_dim = "qk_rope_head_dim"}));
  TRY(expect_activation(config, {"silu", "swish"}));
  TRY(plan.add_rope(config, {.traditional = TRY(config.boolean_or("rope_traditional", true)),
                             .default_theta = 1'600'000.0}));
  TRY(plan.use_latents(config));
  plan.latent->eps = plan.eps;
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture youtu_llm_architecture;
const Architecture youtu_llm_architecture{kYoutuLlmModelTypes, build_youtu_llm, is_unused_in_decoder};

}  // namespace mlxd
