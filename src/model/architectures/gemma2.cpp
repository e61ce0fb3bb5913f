// Gemma 2: gemma with norms after attention and MLP too, and caps on scores and logits.
#include <array>
#include <cmath>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kGemma2ModelTypes = {"gemma2"};

Result<ModelSpec> build_gemma2(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  plan.norm_offset = 1.0F;
  plan.activation = Activation::kGeluTanh;
  plan.embedding_scale = std::sqrt(static_cast<double>(plan.hidden));
  plan.tied = true;
  plan.names.attention_post_norm = "post_attention_layernorm";
  plan.names.mlp_norm = "pre_feedforward_layernorm";
  plan.names.mlp_post_norm = "post_feedforward_layernorm";
  const double scalar = TRY(config.number_or("query_pre_attn_scalar", 144.0, 1e-3, 1e6));
  plan.attention_scale = 1.0 / std::sqrt(scalar);
  plan.attention_softcap = TRY(config.number_or("attn_logit_softcapping", 50.0, 1e-3, 1e6));
  plan.logits_softcap = TRY(config.number_or("final_logit_softcapping", 30.0, 1e-3, 1e6));
  TRY(plan.add_rope(config, {.traditional = TRY(config.boolean_or("rope_traditional", false))}));
  // Every other layer has a window, as in transformers; mlx-lm ignores it, which shows only beyond it.
  TRY(plan.read_windows(config, [](std::size_t i) { return i % 2 == 0; }));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture gemma2_architecture;
const Architecture gemma2_architecture{kGemma2ModelTypes, build_gemma2, is_unused_in_decoder};

}  // namespace mlxd
