// Gemma: norms with 1 added to their weights, a GELU-gated MLP, embeddings scaled by √hidden_size, tied.
#include <array>
#include <cmath>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kGemmaModelTypes = {"gemma"};

Result<ModelSpec> build_gemma(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  plan.norm_offset = 1.0F;
  // As in mlx-lm: without the approximation by tanh.
  plan.activation = Activation::kGelu;
  plan.embedding_scale = std::sqrt(static_cast<double>(plan.hidden));
  plan.tied = true;
  TRY(plan.add_rope(config, {.traditional = TRY(config.boolean_or("rope_traditional", false))}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture gemma_architecture;
const Architecture gemma_architecture{kGemmaModelTypes, build_gemma, is_unused_in_decoder};

}  // namespace mlxd
