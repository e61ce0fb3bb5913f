// Granite 4: Mamba-2 in most layers, attention, often without positions, in the others; granite's
// multipliers; dense, or experts beside a shared MLP.
#include <array>

#include "model/decoder_plan.h"
#include "model/weight_rows.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kGranitemoehybridModelTypes = {"granitemoehybrid"};

Result<RecurrentPlan> read_mamba_granitemoehybrid(const ConfigReader& config, double eps) {
  RecurrentPlan plan;
  plan.kind = RecurrentKind::kMamba2;
  plan.prefix = "mamba.";
  plan.heads = TRY(config.integer("mamba_n_heads", 1, kMaxHeads));
  plan.key_heads = TRY(config.integer("mamba_n_groups", 1, kMaxHeads));
  plan.key_dim = TRY(config.integer("mamba_d_state", 1, kMaxHeadDim));
  plan.value_dim = TRY(config.integer("mamba_d_head", 1, kMaxHeadDim));
  plan.kernel = TRY(config.integer("mamba_d_conv", 1, 64));
  plan.conv_bias = TRY(config.boolean_or("mamba_conv_bias", false));
  plan.projection_bias = TRY(config.boolean_or("mamba_proj_bias", false));
  plan.eps = eps;
  TRY(plan.check(config));
  TRY(plan.read_time_steps(config, 0.001, 100.0));
  return plan;
}

Result<void> read_experts_granitemoehybrid(const ConfigReader& config, DecoderPlan& plan) {
  MoePlan moe;
  TRY(moe.read_sizes(config, "num_local_experts", "num_experts_per_tok", "intermediate_size"));
  moe.router.scoring = RouterScoring::kSoftmaxOfChosen;
  moe.router_name = "block_sparse_moe.router.layer";
  moe.experts = "block_sparse_moe.switch_mlp";
  moe.fused_gate_up = "block_sparse_moe.input_linear";
  moe.fused_down = "block_sparse_moe.switch_mlp.down_proj";
  moe.shared_intermediate = TRY(config.integer("shared_intermediate_size", 1, kMaxWidth));
  moe.shared_gate_up = "shared_mlp.input_linear";
  moe.shared_down = "shared_mlp.output_linear";
  plan.use_experts(std::move(moe));
  return {};
}

Result<ModelSpec> build_granitemoehybrid(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  ConfigNames names;
  names.head_dim.clear();
  DecoderPlan plan = TRY(DecoderPlan::read(config, names));
  plan.attention_scale = TRY(config.number("attention_multiplier", 1e-9, 1e6));
  plan.embedding_scale = TRY(config.number("embedding_multiplier", 1e-9, 1e6));
  plan.residual_scale = TRY(config.number("residual_multiplier", 1e-9, 1e6));
  plan.logits_scale = 1.0 / TRY(config.number("logits_scaling", 1e-9, 1e6));
  if (!config.has("tie_word_embeddings")) plan.tied = true;
  if (!config.has("layer_types")) return config.refuse("layer_types", "a list with one entry a layer");
  const auto has_mamba = config.has("mamba_n_heads");
  TRY(plan.use_recurrence(
      config, has_mamba ? TRY(read_mamba_granitemoehybrid(config, plan.eps)) : RecurrentPlan{}, {}));
  for (const LayerPlan& layer : plan.layers) {
    if (layer.recurrent && !has_mamba) return config.refuse("mamba_n_heads", "there: some layers are mamba");
  }
  if (TRY(config.integer_or("num_local_experts", 0, 0, kMaxExperts)) > 0) {
    TRY(read_experts_granitemoehybrid(config, plan));
  } else if (has_module(input.weights, "model.layers.0.shared_mlp.input_linear")) {
    // As transformers has it.
    plan.names.gate_up_proj = "shared_mlp.input_linear";
    plan.names.down_proj = "shared_mlp.output_linear";
    for (LayerPlan& layer : plan.layers)
      layer.intermediate =
          TRY(config.integer_or("shared_intermediate_size", layer.intermediate, 1, kMaxWidth));
  }
  if (TRY(config.string_or("position_embedding_type", "rope")) == "nope") {
    for (LayerPlan& layer : plan.layers) layer.rope.reset();
  } else {
    TRY(plan.add_rope(config, {.scaled = false}));
  }
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture granitemoehybrid_architecture;
const Architecture granitemoehybrid_architecture{kGranitemoehybridModelTypes, build_granitemoehybrid,
                                                 is_unused_in_decoder};

}  // namespace mlxd
