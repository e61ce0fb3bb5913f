// Nemotron-H: each layer is one thing: Mamba-2 (M), attention without positions (*), an MLP with squared ReLU
// (-) or experts of such (E).
#include <array>
#include <limits>
#include <string>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kNemotronHModelTypes = {"nemotron_h"};

/// One letter a layer: hybrid_override_pattern, or layers_block_type's or layer_types' words.
Result<std::string> read_pattern(const ConfigReader& config) {
  if (const auto* pattern = config.find("hybrid_override_pattern");
      pattern != nullptr && pattern->is_string())
    return std::string(pattern->get_string());
  std::string letters;
  for (const char* field : {"hybrid_override_pattern", "layers_block_type", "layer_types"}) {
    const auto* types = config.find(field);
    if (types == nullptr) continue;
    if (!types->is_array()) return config.refuse(field, "a list with one entry a layer");
    for (const auto& type : types->get_array()) {
      const std::string_view name =
          type.is_string() ? std::string_view(type.get_string()) : std::string_view();
      if (name == "full_attention" || name == "attention" || name == "*") {
        letters += '*';
      } else if (name == "linear_attention" || name == "mamba" || name == "conv" || name == "M") {
        letters += 'M';
      } else if (name == "moe" || name == "E") {
        letters += 'E';
      } else if (name == "mlp" || name == "-") {
        letters += '-';
      } else {
        return config.refuse_unsupported(field, "mamba, attention, mlp and moe are");
      }
    }
    return letters;
  }
  return config.refuse("hybrid_override_pattern", "there");
}

Result<RecurrentPlan> read_mamba_nemotron_h(const ConfigReader& config, double eps) {
  RecurrentPlan plan;
  plan.kind = RecurrentKind::kMamba2;
  plan.prefix = "mixer.";
  plan.heads = TRY(config.integer("mamba_num_heads", 1, kMaxHeads));
  plan.key_heads = TRY(config.integer("n_groups", 1, kMaxHeads));
  plan.key_dim = TRY(config.integer("ssm_state_size", 1, kMaxHeadDim));
  plan.value_dim = TRY(config.integer("mamba_head_dim", 1, kMaxHeadDim));
  plan.kernel = TRY(config.integer("conv_kernel", 1, 64));
  plan.conv_bias = TRY(config.boolean_or("use_conv_bias", false));
  plan.projection_bias = TRY(config.boolean_or("mamba_proj_bias", false));
  plan.norm_groups = plan.key_heads;
  plan.eps = eps;
  TRY(plan.check(config));
  TRY(plan.read_time_steps(config, 0.0, std::numeric_limits<double>::infinity()));
  return plan;
}

Result<void> read_layers_nemotron_h(const ConfigReader& config, DecoderPlan& plan) {
  const std::string pattern = TRY(read_pattern(config));
  if (pattern.empty() || static_cast<std::int64_t>(pattern.size()) > kMaxLayers)
    return config.refuse("hybrid_override_pattern", "of 1 to " + std::to_string(kMaxLayers) + " layers");
  if (config.has("num_hidden_layers") && plan.layers.size() != pattern.size()) {
    return config.refuse("num_hidden_layers",
                         "as many as hybrid_override_pattern has, " + std::to_string(pattern.size()));
  }
  const LayerPlan like = plan.layers.front();
  plan.layers.assign(pattern.size(), like);
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    LayerPlan& layer = plan.layers[i];
    layer.rope.reset();
    layer.attention = pattern[i] == '*';
    layer.recurrent = pattern[i] == 'M';
    layer.moe = pattern[i] == 'E';
    layer.feed_forward = pattern[i] == '-' || pattern[i] == 'E';
    if (!layer.attention && !layer.recurrent && !layer.feed_forward)
      return config.refuse_unsupported("hybrid_override_pattern", "the letters M, *, - and E are");
    if (layer.recurrent && !plan.recurrent) plan.recurrent = TRY(read_mamba_nemotron_h(config, plan.eps));
  }
  return {};
}

Result<void> read_experts_nemotron_h(const ConfigReader& config, DecoderPlan& plan) {
  if (config.has("moe_latent_size"))
    return config.refuse_unsupported("moe_latent_size", "experts of the model's own width are");
  MoePlan moe = TRY(MoePlan::read_deepseek(config));
  moe.router_name = "mixer.gate";
  moe.correction_bias = "mixer.gate.e_score_correction_bias";
  moe.router.normalize_eps = 1e-20F;
  moe.experts = "mixer.switch_mlp";
  moe.single_experts = "mixer.experts";
  moe.stacked_up = "fc1";
  moe.stacked_down = "fc2";
  moe.gated = false;
  moe.activation = Activation::kRelu2;
  moe.shared_expert = "mixer.shared_experts";
  if (moe.shared_intermediate > 0)
    moe.shared_intermediate = TRY(config.integer("moe_shared_expert_intermediate_size", 1, kMaxWidth));
  plan.moe = std::move(moe);
  return {};
}

Result<ModelSpec> build_nemotron_h(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  ConfigNames names;
  names.eps = "layer_norm_epsilon";
  // transformers says how many layers there are by their kinds.
  ConfigDefaults defaults;
  defaults.layers = 1;
  DecoderPlan plan = TRY(DecoderPlan::read(config, names, defaults));
  plan.tied = false;
  plan.gated = false;
  plan.activation = Activation::kRelu2;
  plan.names.embedding = "backbone.embeddings";
  plan.names.layers = "backbone.layers.";
  plan.names.final_norm = "backbone.norm_f";
  plan.names.attention_norm = "norm";
  plan.names.mlp_norm = "norm";
  plan.names.q_proj = "mixer.q_proj";
  plan.names.k_proj = "mixer.k_proj";
  plan.names.v_proj = "mixer.v_proj";
  plan.names.o_proj = "mixer.o_proj";
  plan.names.up_proj = "mixer.up_proj";
  plan.names.down_proj = "mixer.down_proj";
  TRY(read_layers_nemotron_h(config, plan));
  for (const LayerPlan& layer : plan.layers) {
    if (layer.moe && !plan.moe) TRY(read_experts_nemotron_h(config, plan));
  }
  return build_decoder(input, plan);
}

bool is_unused_nemotron_h(const ModelSpec& spec, std::string_view tensor_name) {
  return tensor_name.starts_with("mtp.") || is_unused_in_decoder(spec, tensor_name);
}

}  // namespace

extern const Architecture nemotron_h_architecture;
const Architecture nemotron_h_architecture{kNemotronHModelTypes, build_nemotron_h, is_unused_nemotron_h};

}  // namespace mlxd
