// The tensors of a llama-type GGUF: their names there and in a Hugging Face checkpoint, and the shapes that
// the metadata implies.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/gguf.h"
#include "workbench/gguf_config.h"

namespace mlxd {

struct LlamaTensor {
  const GgufTensor* source = nullptr;
  /// Hugging Face's name; for matrices without ".weight".
  std::string name;
  /// Rows (of q and k) are in GGUF's rotary order.
  bool is_rotary = false;
};

/// Every tensor of the model, in order of the layers. Errors name the GGUF tensor: kCorruptData if one is
/// missing or of another shape, kUnsupported if the file holds one that llama models do not have.
Result<std::vector<LlamaTensor>> llama_tensors(const GgufFile& file, const GgufModel& model);

}  // namespace mlxd
