// Mamba-2: state space layers only.
#include <array>
#include <limits>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kMamba2ModelTypes = {"mamba2"};

Result<ModelSpec> build_mamba2(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  ConfigNames names;
  names.intermediate.clear();
  names.heads.clear();
  names.kv_heads.clear();
  names.head_dim.clear();
  names.eps = "layer_norm_epsilon";
  // Of attention and MLPs, which there are none of.
  const ConfigDefaults none = {.heads = 1, .kv_heads = 1, .head_dim = 2, .intermediate_factor = 1};
  DecoderPlan plan = TRY(DecoderPlan::read(config, names, none));
  plan.names.embedding = "backbone.embeddings";
  plan.names.layers = "backbone.layers.";
  plan.names.final_norm = "backbone.norm_f";
  plan.names.attention_norm = "norm";
  plan.layer_norm_eps = 1e-5;
  RecurrentPlan mamba;
  mamba.kind = RecurrentKind::kMamba2;
  mamba.prefix = "mixer.";
  mamba.heads = TRY(config.integer("num_heads", 1, kMaxHeads));
  mamba.key_heads = TRY(config.integer("n_groups", 1, kMaxHeads));
  mamba.value_dim = TRY(config.integer("head_dim", 1, kMaxHeadDim));
  mamba.key_dim = config.has("ssm_state_size") ? TRY(config.integer("ssm_state_size", 1, kMaxHeadDim))
                                               : TRY(config.integer("state_size", 1, kMaxHeadDim));
  mamba.kernel = TRY(config.integer("conv_kernel", 1, 64));
  mamba.conv_bias = TRY(config.boolean_or("use_conv_bias", true));
  mamba.projection_bias = TRY(config.boolean_or("use_bias", false));
  mamba.eps = plan.eps;
  TRY(mamba.check(config));
  TRY(mamba.read_time_steps(config, 0.0, std::numeric_limits<double>::infinity()));
  plan.recurrent = mamba;
  for (LayerPlan& layer : plan.layers) {
    layer.attention = false;
    layer.recurrent = true;
    layer.feed_forward = false;
    layer.rope.reset();
  }
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture mamba2_architecture;
const Architecture mamba2_architecture{kMamba2ModelTypes, build_mamba2, is_unused_in_decoder};

}  // namespace mlxd
