// Gemma 3: gemma 2 with norms over each query and key instead of caps; most layers have a window and a
// rotation of their own. gemma3 holds the text model's configuration and tensors beside a vision tower's.
#include <array>
#include <cmath>

#include "model/decoder_plan.h"
#include "model/float_formats.h"
#include "model/nested_text_model.h"
#include "model/weight_rows.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 2> kGemma3ModelTypes = {"gemma3", "gemma3_text"};

Result<ModelSpec> build_text_gemma3(const ArchitectureInput& input, std::string_view prefix,
                                    const ConfigReader& config) {
  // Configurations of the vision models leave out what is the library's default.
  const ConfigDefaults defaults = {.heads = 8, .kv_heads = 4, .head_dim = 256, .vocabulary = 262208};
  DecoderPlan plan = TRY(DecoderPlan::read(config, {}, prefix.empty() ? ConfigDefaults{} : defaults));
  plan.norm_offset = 1.0F;
  plan.head_norms = HeadNorms::kEachHead;
  plan.activation = Activation::kGeluTanh;
  plan.embedding_scale = bfloat16_to_float(float_to_bfloat16(std::sqrt(static_cast<float>(plan.hidden))));
  plan.names.attention_post_norm = "post_attention_layernorm";
  plan.names.mlp_norm = "pre_feedforward_layernorm";
  plan.names.mlp_post_norm = "post_feedforward_layernorm";
  plan.names.add_prefix(prefix);
  plan.tied = !has_module(input.weights, plan.names.lm_head);
  plan.attention_scale = 1.0 / std::sqrt(TRY(config.number_or("query_pre_attn_scalar", 256.0, 1e-3, 1e6)));
  const double local_theta = TRY(config.number_or("rope_local_base_freq", 10000.0, 1e-3, 1e12));
  TRY(plan.add_rope(config, {.default_theta = 1e6}));
  TRY(plan.add_rope(config, {.theta = local_theta, .scaled = false}));
  const auto pattern =
      static_cast<std::size_t>(TRY(config.integer_or("sliding_window_pattern", 6, 1, kMaxLayers)));
  TRY(plan.read_windows(config, [&](std::size_t i) { return (i + 1) % pattern != 0; }));
  for (LayerPlan& layer : plan.layers) {
    if (layer.slides) layer.rope = 1;
  }
  return build_decoder(input, plan);
}

Result<ModelSpec> build_gemma3(const ArchitectureInput& input) {
  return build_text_model(input, build_text_gemma3);
}

}  // namespace

extern const Architecture gemma3_architecture;
const Architecture gemma3_architecture{kGemma3ModelTypes, build_gemma3, is_unused_beside_vision};

}  // namespace mlxd
