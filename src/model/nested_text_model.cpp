#include "model/nested_text_model.h"

#include "model/decoder_plan.h"

namespace mlxd {

Result<ModelSpec> build_text_model(const ArchitectureInput& input, BuildText build) {
  const auto text = TRY(input.config.object("text_config"));
  return text ? build(input, "language_model.", *text) : build(input, "", input.config);
}

bool is_of_vision(std::string_view tensor_name) {
  return tensor_name.starts_with("visual.") || tensor_name.starts_with("model.visual.") ||
         tensor_name.find("vision_tower") != std::string_view::npos ||
         tensor_name.starts_with("mm_projector.") ||
         tensor_name.find("multi_modal_projector") != std::string_view::npos ||
         tensor_name.find("vision_model") != std::string_view::npos;
}

bool is_unused_beside_vision(const ModelSpec& spec, std::string_view tensor_name) {
  return is_of_vision(tensor_name) || is_unused_in_decoder(spec, tensor_name);
}

}  // namespace mlxd
