// Command R: attention and MLP side by side on one LayerNorm, neighbouring pairs rotate, logits scaled.
// Cohere 2 has a window in three of four layers, and only those rotate.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 2> kCohereModelTypes = {"cohere", "cohere2"};

Result<ModelSpec> build_cohere(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan =
      TRY(DecoderPlan::read(config, {.eps = "layer_norm_eps", .context = "max_position_embeddings"}));
  TRY(expect_activation(config, {"silu", "swish"}));
  const bool second = plan.model_type == "cohere2";
  plan.norm = NormKind::kLayer;
  plan.norm_bias = TRY(config.boolean_or("layer_norm_bias", false));
  plan.parallel = true;
  plan.mlp_bias = false;
  plan.names.mlp_norm.clear();
  plan.logits_scale = TRY(config.number_or("logit_scale", 0.0625, 1e-9, 1e6));
  plan.tied = true;
  if (!second && TRY(config.boolean_or("use_qk_norm", false))) plan.head_norms = HeadNorms::kOwnWeights;
  TRY(plan.add_rope(config, {.traditional = true, .default_theta = second ? 50000.0 : 8000000.0}));
  if (second) {
    const auto pattern =
        static_cast<std::size_t>(TRY(config.integer_or("sliding_window_pattern", 4, 1, kMaxLayers)));
    TRY(plan.read_windows(config, [&](std::size_t i) { return (i + 1) % pattern != 0; }));
    for (LayerPlan& layer : plan.layers) {
      if (!layer.slides) layer.rope.reset();
    }
  }
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture cohere_architecture;
const Architecture cohere_architecture{kCohereModelTypes, build_cohere, is_unused_in_decoder};

}  // namespace mlxd
