// The safetensors container (https://github.com/huggingface/safetensors, "Format"): an 8-byte little-endian
// header length, a JSON header naming tensors, then their bytes. Everything the header claims is checked
// before use.
#pragma once

#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "model/tensor.h"

namespace mlxd {

/// Longest header accepted: three times the largest published ones; the format's own library stops at 100 MB.
inline constexpr std::size_t kMaxSafetensorsHeaderBytes = 32U << 20U;

/// The file's tensors in order of their offsets, as views into `file`. Names are unique; data lies inside the
/// file, does not overlap, and is exactly as large as shape and dtype say. Errors: kCorruptData naming file
/// and tensor; kUnsupported for element types this program does not know.
Result<std::vector<TensorView>> read_safetensors(const MappedFile& file);

}  // namespace mlxd
