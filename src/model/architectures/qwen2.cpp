// Qwen2 and 2.5: llama with biases on queries, keys and values. The vision models hold it beside their tower.
#include <array>

#include "model/decoder_plan.h"
#include "model/nested_text_model.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 3> kQwen2ModelTypes = {"qwen2", "qwen2_vl", "qwen2_5_vl"};

Result<ModelSpec> build_text_qwen2(const ArchitectureInput& input, std::string_view prefix,
                                   const ConfigReader& config) {
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  plan.names.add_prefix(prefix);
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.set_attention_bias(false);
  plan.set_qkv_bias(true);
  TRY(plan.add_rope(
      config, {.traditional = TRY(config.boolean_or("rope_traditional", false)), .default_theta = 1e6}));
  // As in transformers; mlx-lm ignores the windows, which no published model uses.
  TRY(plan.read_late_windows(config));
  return build_decoder(input, plan);
}

Result<ModelSpec> build_qwen2(const ArchitectureInput& input) {
  const auto text = TRY(input.config.object("text_config"));
  // Older configurations of vision models are the text model's with more fields.
  const bool inside = text || TRY(input.config.string("model_type")) != "qwen2";
  return build_text_qwen2(input, inside ? "language_model." : "", text ? *text : input.config);
}

}  // namespace

extern const Architecture qwen2_architecture;
const Architecture qwen2_architecture{kQwen2ModelTypes, build_qwen2, is_unused_beside_vision};

}  // namespace mlxd
