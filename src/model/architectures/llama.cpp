// Llama 2 and 3.x, SmolLM2, Mistral and others: pre-norm grouped-query attention with rotary positions, over
// all positions or a sliding window, and a SwiGLU MLP.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 5> kLlamaModelTypes = {"llama", "mistral", "iquestcoder", "xverse",
                                                              "telechat3"};

Result<ModelSpec> build_llama(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  if (TRY(config.number_or("partial_rotary_factor", 1.0, 0.0, 1.0)) != 1.0) {
    return config.refuse_unsupported("partial_rotary_factor", "llama models rotate whole heads");
  }
  TRY(plan.add_rope(config, {.traditional = TRY(config.boolean_or("rope_traditional", false))}));
  // mistral has a window in every layer unless its configuration says otherwise, as in transformers (mlx-lm
  // ignores it there); llama only where layer_types does.
  const bool everywhere = plan.model_type == "mistral";
  TRY(plan.read_windows(config, [&](std::size_t) { return everywhere; }));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture llama_architecture;
const Architecture llama_architecture{kLlamaModelTypes, build_llama, is_unused_in_decoder};

}  // namespace mlxd
