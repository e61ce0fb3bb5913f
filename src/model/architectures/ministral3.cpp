// Ministral 3 and the text part of Mistral 3: llama, of which ministral3 raises queries with their position.
// mistral3 holds the text model's configuration and tensors beside a vision tower's.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 2> kModelTypes = {"mistral3", "ministral3"};

Result<ModelSpec> build_ministral(const ArchitectureInput& input, std::string_view prefix,
                                  const ConfigReader& config) {
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  plan.set_attention_bias(false);
  plan.mlp_bias = false;
  plan.names.add_prefix(prefix);
  TRY(plan.add_rope(config, {}));
  const auto parameters = TRY(config.object("rope_parameters"));
  if (!parameters) return config.refuse("rope_parameters", "an object");
  PositionScaling scaling;
  scaling.beta = static_cast<float>(TRY(parameters->number("llama_4_scaling_beta", 0.0, 1e3)));
  scaling.original_tokens =
      static_cast<std::int32_t>(TRY(parameters->integer("original_max_position_embeddings", 1, INT32_MAX)));
  for (LayerPlan& layer : plan.layers) layer.position_scaling = scaling;
  TRY(plan.read_windows(config, [](std::size_t) { return false; }));
  return build_decoder(input, plan);
}

Result<ModelSpec> build(const ArchitectureInput& input) {
  const auto text = TRY(input.config.object("text_config"));
  if (!text) return build_ministral(input, "", input.config);
  const std::string model_type = TRY(text->string_or("model_type", "mistral"));
  if (model_type == "ministral3") return build_ministral(input, "language_model.", *text);
  if (model_type != "mistral" && model_type != "llama")
    return text->refuse_unsupported("model_type", "mistral, llama and ministral3 are");
  DecoderPlan plan = TRY(DecoderPlan::read(*text));
  plan.model_type = "mistral3";
  plan.names.add_prefix("language_model.");
  if (!text->has("tie_word_embeddings")) plan.tied = false;
  TRY(plan.add_rope(*text, {}));
  TRY(plan.read_windows(*text, [](std::size_t) { return true; }));
  return build_decoder(input, plan);
}

bool is_unused(const ModelSpec& spec, std::string_view tensor_name) {
  return is_of_vision(tensor_name) || is_unused_in_decoder(spec, tensor_name);
}

}  // namespace

extern const Architecture ministral3_architecture;
const Architecture ministral3_architecture{kModelTypes, build, is_unused};

}  // namespace mlxd
