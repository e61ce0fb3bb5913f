// Mellum 2 (JetBrains): qwen3_moe with windows in some layers, and a rotation for each kind of layer.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kMellumModelTypes = {"mellum"};

Result<ModelSpec> build_mellum(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  plan.set_attention_bias(false);
  plan.mlp_bias = false;
  plan.head_norms = HeadNorms::kEachHead;
  MoePlan moe;
  TRY(moe.read_sizes(config, "num_experts", "num_experts_per_tok", "moe_intermediate_size"));
  moe.router.normalize = TRY(config.boolean_or("norm_topk_prob", false));
  plan.use_experts(std::move(moe));
  const auto parameters = TRY(config.object("rope_parameters"));
  const auto full = parameters ? TRY(parameters->object("full_attention")) : std::optional<ConfigReader>();
  const auto sliding =
      parameters ? TRY(parameters->object("sliding_attention")) : std::optional<ConfigReader>();
  if (!full) return config.refuse("rope_parameters", "an object with full_attention");
  TRY(plan.add_rope(config, {.parameters = &*full}));
  if (!config.has("layer_types")) return config.refuse("layer_types", "a list with one entry a layer");
  TRY(plan.read_windows(config, [](std::size_t) { return false; }));
  bool slides = false;
  for (LayerPlan& layer : plan.layers) {
    if (layer.slides) layer.rope = 1;
    slides = slides || layer.slides;
  }
  if (slides && !sliding) return config.refuse("rope_parameters", "an object with sliding_attention");
  if (sliding) TRY(plan.add_rope(config, {.parameters = &*sliding}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture mellum_architecture;
const Architecture mellum_architecture{kMellumModelTypes, build_mellum, is_unused_in_decoder};

}  // namespace mlxd
