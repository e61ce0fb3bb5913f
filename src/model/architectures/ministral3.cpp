// Ministral 3, Mistral 4 and the text part of Mistral 3: llama, of which ministral3 and mistral4 raise
// queries with their position; mistral4 has latent attention and experts. mistral3, pixtral and llava hold
// the text model's configuration and tensors beside a vision tower's.
#include <array>

#include "model/decoder_plan.h"
#include "model/nested_text_model.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 5> kMinistral3ModelTypes = {"mistral3", "ministral3", "mistral4",
                                                                   "pixtral", "llava"};

Result<void> read_position_scaling(const ConfigReader& config, DecoderPlan& plan) {
  const auto parameters = TRY(config.object("rope_parameters"));
  if (!parameters) return config.refuse("rope_parameters", "an object");
  PositionScaling scaling;
  scaling.beta = static_cast<float>(TRY(parameters->number("llama_4_scaling_beta", 0.0, 1e3)));
  scaling.original_tokens =
      static_cast<std::int32_t>(TRY(parameters->integer("original_max_position_embeddings", 1, INT32_MAX)));
  for (LayerPlan& layer : plan.layers) layer.position_scaling = scaling;
  return {};
}

Result<ModelSpec> build_ministral(const ArchitectureInput& input, std::string_view prefix,
                                  const ConfigReader& config) {
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  plan.set_attention_bias(false);
  plan.mlp_bias = false;
  plan.names.add_prefix(prefix);
  TRY(plan.add_rope(config, {}));
  TRY(read_position_scaling(config, plan));
  TRY(plan.read_windows(config, [](std::size_t) { return false; }));
  return build_decoder(input, plan);
}

Result<ModelSpec> build_mistral4(const ArchitectureInput& input, std::string_view prefix,
                                 const ConfigReader& config) {
  DecoderPlan plan = TRY(DecoderPlan::read(config, {.head_dim = "qk_rope_head_dim"}));
  plan.mlp_bias = false;
  plan.names.add_prefix(prefix);
  TRY(plan.add_rope(config, {.traditional = TRY(config.boolean_or("rope_interleave", true))}));
  TRY(plan.use_latents(config));
  TRY(read_position_scaling(config, plan));
  if (!config.has("n_routed_experts")) return build_decoder(input, plan);
  MoePlan experts = TRY(MoePlan::read_deepseek(config));
  experts.router.scoring = RouterScoring::kSoftmax;
  experts.router.normalize = TRY(config.boolean_or("norm_topk_prob", true));
  experts.correction_bias.clear();
  TRY(plan.use_experts(config, std::move(experts), "first_k_dense_replace"));
  return build_decoder(input, plan);
}

/// `prefix` is of the tensors of a text model inside another.
Result<ModelSpec> build_text_ministral3(const ArchitectureInput& input, std::string_view prefix,
                                        const ConfigReader& config) {
  const std::string model_type = TRY(config.string_or("model_type", "mistral"));
  if (model_type == "ministral3") return build_ministral(input, prefix, config);
  if (model_type == "mistral4") return build_mistral4(input, prefix, config);
  if (model_type != "mistral" && model_type != "llama")
    return config.refuse_unsupported("model_type", "mistral, llama, ministral3 and mistral4 are");
  DecoderPlan plan = TRY(DecoderPlan::read(config, {}, {.heads = 32}));
  plan.names.add_prefix(prefix);
  if (!config.has("tie_word_embeddings")) plan.tied = false;
  TRY(plan.add_rope(config, {}));
  TRY(plan.read_windows(config, [](std::size_t) { return true; }));
  return build_decoder(input, plan);
}

Result<ModelSpec> build_ministral3(const ArchitectureInput& input) {
  return build_text_model(input, build_text_ministral3);
}

}  // namespace

extern const Architecture ministral3_architecture;
const Architecture ministral3_architecture{kMinistral3ModelTypes, build_ministral3, is_unused_beside_vision};

}  // namespace mlxd
