// Falcon-H1: attention and Mamba-2 side by side in each layer, of the same normed input. mlx-lm's conversion
// folds the configuration's multipliers into the weights.
#include <array>
#include <limits>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kFalconH1ModelTypes = {"falcon_h1"};

Result<RecurrentPlan> read_mamba_falcon_h1(const ConfigReader& config, double eps) {
  RecurrentPlan plan;
  plan.kind = RecurrentKind::kMamba2;
  plan.prefix = "mamba.";
  plan.heads = TRY(config.integer_or("mamba_n_heads", 24, 1, kMaxHeads));
  plan.key_heads = TRY(config.integer_or("mamba_n_groups", 1, 1, kMaxHeads));
  plan.key_dim = TRY(config.integer_or("mamba_d_state", 128, 1, kMaxHeadDim));
  plan.value_dim = TRY(config.integer_or("mamba_d_head", 64, 1, kMaxHeadDim));
  plan.kernel = TRY(config.integer_or("mamba_d_conv", 4, 1, 64));
  plan.conv_bias = TRY(config.boolean_or("mamba_conv_bias", true));
  plan.projection_bias = TRY(config.boolean_or("mamba_proj_bias", false));
  plan.norm = TRY(config.boolean_or("mamba_rms_norm", false));
  if (plan.norm)
    return config.refuse_unsupported("mamba_rms_norm", "models without a norm in their Mamba layers are");
  if (TRY(config.boolean_or("projectors_bias", plan.projection_bias)) != plan.projection_bias)
    return config.refuse_unsupported("projectors_bias", "the same value as of mamba_proj_bias is");
  const std::int64_t inner = plan.heads * plan.value_dim;
  if (TRY(config.integer_or("mamba_d_ssm", inner, 1, kMaxWidth)) != inner)
    return config.refuse("mamba_d_ssm", "mamba_n_heads × mamba_d_head, " + std::to_string(inner));
  plan.eps = eps;
  TRY(plan.check(config));
  plan.max_time_step = std::numeric_limits<double>::infinity();
  return plan;
}

Result<ModelSpec> build_falcon_h1(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  const TensorView* conv = input.weights.find("model.layers.0.mamba.conv1d.weight");
  if (conv != nullptr && !conv->shape.empty() && conv->shape.back() != 1) {
    return unsupported(
        input.weights.folder().string() +
        ": falcon_h1 as transformers has it is not supported; take the model's MLX conversion");
  }
  plan.names.mlp_norm = "pre_ff_layernorm";
  plan.names.final_norm = "model.final_layernorm";
  plan.names.gate_proj = "feed_forward.gate_proj";
  plan.names.up_proj = "feed_forward.up_proj";
  plan.names.down_proj = "feed_forward.down_proj";
  if (!config.has("tie_word_embeddings")) plan.tied = true;
  // The embeddings hold their multiplier; as a head they need the other one.
  if (plan.tied.value_or(true)) {
    plan.logits_scale = TRY(config.number_or("lm_head_multiplier", 0.0390625, 1e-9, 1e6)) /
                        TRY(config.number_or("embedding_multiplier", 5.656854249492381, 1e-9, 1e6));
  }
  plan.recurrent = TRY(read_mamba_falcon_h1(config, plan.eps));
  for (LayerPlan& layer : plan.layers) layer.recurrent = true;
  TRY(plan.add_rope(
      config, {.traditional = TRY(config.boolean_or("rope_traditional", false)), .default_theta = 1e11}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture falcon_h1_architecture;
const Architecture falcon_h1_architecture{kFalconH1ModelTypes, build_falcon_h1, is_unused_in_decoder};

}  // namespace mlxd
