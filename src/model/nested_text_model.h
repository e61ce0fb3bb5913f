// Text models that a checkpoint may hold beside a vision tower: their configuration is then under
// text_config, their tensors under "language_model." (checkpoint_names.h sees to that), and the rest of the
// file is left alone.
#pragma once

#include <string_view>

#include "base/result.h"
#include "model/architectures/architecture.h"
#include "model/config_reader.h"
#include "model/model_spec.h"

namespace mlxd {

/// Builds a text model from its own configuration; its tensors' names follow `prefix`.
using BuildText = Result<ModelSpec> (*)(const ArchitectureInput& input, std::string_view prefix,
                                        const ConfigReader& config);

/// Builds the text model of a checkpoint that is one or holds one.
Result<ModelSpec> build_text_model(const ArchitectureInput& input, BuildText build);

/// Tensors of a vision tower and of what joins it to the text model.
bool is_of_vision(std::string_view tensor_name);

/// Tensors of vision, and what decoders leave unused.
bool is_unused_beside_vision(const ModelSpec& spec, std::string_view tensor_name);

}  // namespace mlxd
