// Qwen3-Next and Qwen3.5: gated delta nets, and every few layers attention whose output is gated; dense, or
// experts with a gated shared one.
#include <array>

#include "model/decoder_plan.h"
#include "model/nested_text_model.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 5> kQwen3NextModelTypes = {"qwen3_next", "qwen3_5", "qwen3_5_text",
                                                                  "qwen3_5_moe", "qwen3_5_moe_text"};

Result<void> read_experts_qwen3_next(const ConfigReader& config, bool is_next, DecoderPlan& plan) {
  if (TRY(config.integer_or("num_experts", 0, 0, kMaxExperts)) == 0) return {};
  MoePlan moe;
  TRY(moe.read_sizes(config, "num_experts", "num_experts_per_tok", "moe_intermediate_size"));
  moe.router.normalize = TRY(config.boolean_or("norm_topk_prob", true));
  moe.shared_intermediate = TRY(config.integer("shared_expert_intermediate_size", 1, kMaxWidth));
  moe.shared_gate = "mlp.shared_expert_gate";
  plan.moe = std::move(moe);
  const std::int64_t step = TRY(config.integer_or("decoder_sparse_step", 1, 1, kMaxLayers));
  for (std::size_t i = 0; i < plan.layers.size(); ++i)
    plan.layers[i].moe = !is_next || (static_cast<std::int64_t>(i) + 1) % step == 0;
  return is_next ? plan.keep_dense(config, "mlp_only_layers") : Result<void>();
}

/// Whether the tensors are as transformers has them, with the weights of all norms but the recurrent ones
/// less
/// 1. mlx-lm's conversion adds it, and turns the convolutions' dimensions, by which it can be told.
bool is_raw(const ArchitectureInput& input, const DecoderPlan& plan) {
  for (std::size_t i = 0; i < plan.layers.size(); ++i) {
    if (!plan.layers[i].recurrent) continue;
    const TensorView* conv =
        input.weights.find(plan.names.layers + std::to_string(i) + ".linear_attn.conv1d.weight");
    return conv != nullptr && !conv->shape.empty() && conv->shape.back() != 1;
  }
  return false;
}

Result<ModelSpec> build_text_qwen3_next(const ArchitectureInput& input, std::string_view prefix,
                                        const ConfigReader& config) {
  const bool has_experts = TRY(config.integer_or("num_experts", 0, 0, kMaxExperts)) > 0;
  // Models of experts only may say nothing of a dense MLP.
  ConfigDefaults defaults;
  if (has_experts && !config.has("intermediate_size")) defaults.intermediate_factor = 1;
  DecoderPlan plan = TRY(DecoderPlan::read(config, {}, defaults));
  const bool is_next = plan.model_type == "qwen3_next";
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.mlp_bias = false;
  plan.head_norms = HeadNorms::kEachHead;
  plan.gated_queries = true;
  plan.names.add_prefix(prefix);
  const std::int64_t interval = TRY(config.integer_or("full_attention_interval", 4, 1, kMaxLayers));
  RecurrentPlan recurrent = TRY(RecurrentPlan::read_gated_delta(config, plan.eps));
  recurrent.grouped_projections = is_next;
  TRY(plan.use_recurrence(config, std::move(recurrent),
                          [&](std::size_t i) { return (static_cast<std::int64_t>(i) + 1) % interval == 0; }));
  if (is_raw(input, plan)) plan.norm_offset = 1.0F;
  TRY(read_experts_qwen3_next(config, is_next, plan));
  const std::int32_t rotary_dim = TRY(read_rotary_dim(config, plan.layers.front().head_dim, 0.25));
  TRY(plan.add_rope(config, {.rotary_dim = rotary_dim, .default_theta = is_next ? 1e6 : 1e5}));
  return build_decoder(input, plan);
}

Result<ModelSpec> build_qwen3_next(const ArchitectureInput& input) {
  // mlx-lm puts the text model of a configuration without text_config under this name as well.
  if (!input.config.has("text_config") &&
      input.weights.find("language_model.model.embed_tokens.weight") != nullptr) {
    return build_text_qwen3_next(input, "language_model.", input.config);
  }
  return build_text_model(input, build_text_qwen3_next);
}

/// Towers, and the layers that predict further tokens.
bool is_unused_qwen3_next(const ModelSpec& spec, std::string_view tensor_name) {
  return tensor_name.starts_with("mtp.") || tensor_name.find(".mtp.") != std::string_view::npos ||
         is_unused_beside_vision(spec, tensor_name);
}

}  // namespace

extern const Architecture qwen3_next_architecture;
const Architecture qwen3_next_architecture{kQwen3NextModelTypes, build_qwen3_next, is_unused_qwen3_next};

}  // namespace mlxd
