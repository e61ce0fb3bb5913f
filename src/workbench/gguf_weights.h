// GGUF tensors in MLX form. Quantized blocks of 32 become affine codes with group size 32 whose value
// code * scale + bias is exactly the block's: Q4_0 d·(q − 8) is q·d + (−8d), Q8_0 d·q is (q + 128)·d +
// (−128d), and so on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/gguf.h"
#include "workbench/weight_files_writer.h"

namespace mlxd {

/// Group size of every imported matrix, the block size of GGUF's simple types.
inline constexpr std::int32_t kImportGroupSize = 32;

/// How one GGUF tensor is stored in the MLX folder.
struct StoragePlan {
  const GgufTensor* source = nullptr;
  /// Hugging Face's name; for matrices without ".weight".
  std::string name;
  /// 0: dense, the type kept.
  std::int32_t bits = 0;
  /// Of scales and biases: F16, or F32 where an offset does not fit F16.
  DType scale_dtype = DType::kF16;
  /// Rows per head to bring from GGUF's interleaved rotary order (pairs side by side) to Hugging Face's
  /// (halves); 0: rows stay.
  std::int64_t rotary_head_dim = 0;
};

/// Looks at the type and, for quantized tensors, at all scales. Errors: kCorruptData for scales that are not
/// finite, kUnsupported for a quantized vector.
Result<StoragePlan> plan_storage(const GgufTensor& source, std::string name, std::int64_t rotary_head_dim);

/// The tensors that `write_tensor` writes.
std::vector<TensorLayout> layouts(const StoragePlan& plan);

/// Converts and writes one tensor.
Result<void> write_tensor(const StoragePlan& plan, WeightFilesWriter& writer);

}  // namespace mlxd
