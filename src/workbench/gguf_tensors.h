// The tensors of a GGUF: their names there and in a Hugging Face checkpoint, and the shapes that the metadata
// implies.
#pragma once

#include <vector>

#include "base/result.h"
#include "model/gguf.h"
#include "workbench/gguf_config.h"
#include "workbench/gguf_weights.h"

namespace mlxd {

/// Every tensor of the model, in order of the layers. Errors name the GGUF tensor: kCorruptData if one is
/// missing or of another shape, kUnsupported if the file holds one that such models do not have.
Result<std::vector<GgufSource>> find_gguf_tensors(const GgufFile& file, const GgufModel& model);

}  // namespace mlxd
