// MiniCPM: llama with multipliers on embeddings, residuals (by depth) and logits (by width). minicpm3 has
// latent attention, whose values are as wide as plain heads.
#include <array>
#include <cmath>

#include "model/decoder_plan.h"
#include "model/weight_rows.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 2> kMinicpmModelTypes = {"minicpm", "minicpm3"};

Result<ModelSpec> build_minicpm(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  const bool third = TRY(config.string("model_type")) == "minicpm3";
  DecoderPlan plan = TRY(DecoderPlan::read(config, {.head_dim = third ? "qk_rope_head_dim" : "head_dim"}));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.embedding_scale = TRY(config.number("scale_emb", 1e-9, 1e6));
  plan.residual_scale =
      TRY(config.number("scale_depth", 1e-9, 1e6)) / std::sqrt(static_cast<double>(plan.layers.size()));
  const double base = TRY(config.number("dim_model_base", 1.0, 1e9));
  const bool tied = TRY(config.boolean_or("tie_word_embeddings", false));
  // mlx-lm scales the logits of models with a head of their own only.
  if (!tied) plan.logits_scale = base / static_cast<double>(plan.hidden);
  plan.tied = tied || !has_module(input.weights, "lm_head");
  TRY(plan.add_rope(
      config, {.traditional = TRY(config.boolean_or("rope_traditional", false)), .default_theta = 1e6}));
  if (third) {
    TRY(plan.use_latents(config, plan.hidden / plan.layers.front().heads));
    plan.latent->eps = 1e-5;
  }
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture minicpm_architecture;
const Architecture minicpm_architecture{kMinicpmModelTypes, build_minicpm, is_unused_in_decoder};

}  // namespace mlxd
