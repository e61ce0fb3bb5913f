// SmolLM3: llama, with rotary positions in three of four layers only.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kSmollm3ModelTypes = {"smollm3"};

Result<ModelSpec> build_smollm3(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  TRY(plan.add_rope(config, {.traditional = TRY(config.boolean_or("rope_traditional", false))}));
  const std::int64_t interval = TRY(config.integer_or("no_rope_layer_interval", 4, 1, kMaxLayers));
  const auto* rotates = config.find("no_rope_layers");
  if (rotates != nullptr && (!rotates->is_array() || rotates->get_array().size() != plan.layers.size()))
    return config.refuse("no_rope_layers", "a list with one entry a layer");
  for (std::size_t i = 0; i < plan.layers.size(); ++i) {
    bool rotated = (static_cast<std::int64_t>(i) + 1) % interval != 0;
    if (rotates != nullptr) {
      // Whatever the name says: 1 means that the layer rotates.
      const auto& entry = rotates->get_array()[i];
      if (!entry.is_int64()) return config.refuse("no_rope_layers", "a list of 0 and 1");
      rotated = entry.get_int64() != 0;
    }
    if (!rotated) plan.layers[i].rope.reset();
  }
  TRY(plan.read_windows(config, [](std::size_t) { return false; }));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture smollm3_architecture;
const Architecture smollm3_architecture{kSmollm3ModelTypes, build_smollm3, is_unused_in_decoder};

}  // namespace mlxd
