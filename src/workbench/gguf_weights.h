// GGUF tensors in MLX form. Quantized tensors become affine codes with group size 32: the file's own codes
// where its groups are 32 long, codes made anew where they are 16 long (gguf_affine.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/gguf.h"
#include "workbench/weight_files_writer.h"

namespace mlxd {

/// Group size of every imported matrix.
inline constexpr std::int32_t kImportGroupSize = 32;

/// A tensor of the file and what becomes of it.
struct GgufSource {
  const GgufTensor* tensor = nullptr;
  /// Hugging Face's name; for matrices without ".weight".
  std::string name;
  /// Rows of a head to bring from GGUF's rotary order (pairs side by side) to Hugging Face's (halves); 0:
  /// rows stay.
  std::int64_t rotary_head_dim = 0;
  /// The file holds w + 1, the folder shall hold w: the norms of gemma.
  bool holds_one_more = false;
};

/// Asked between rows; empty: never.
using IsCancelled = std::function<bool()>;

/// How one GGUF tensor is stored in the MLX folder.
struct StoragePlan {
  GgufSource source;
  /// 0: dense, the type kept.
  std::int32_t bits = 0;
  /// The file's codes, rather than others.
  bool keeps_codes = true;
  /// Of scales and biases: F16, or F32 where rounding to F16 would cost precision.
  DType scale_dtype = DType::kF16;
};

/// Looks at the type and, for quantized tensors, at all blocks. Errors: kCorruptData for scales that are not
/// finite, kUnsupported for a quantized vector and for a norm of a type that cannot be lessened by one,
/// kCancelled.
Result<StoragePlan> plan_storage(GgufSource source, const IsCancelled& is_cancelled = {});

/// The tensors that `write_tensor` writes.
std::vector<TensorLayout> layouts(const StoragePlan& plan);

/// Converts and writes one tensor. Returns the largest difference between a stored value and the file's, as a
/// fraction of the largest magnitude in its row; 0 says that all are equal. Errors: the writer's; kCancelled.
Result<double> write_tensor(const StoragePlan& plan, WeightFilesWriter& writer,
                            const IsCancelled& is_cancelled = {});

}  // namespace mlxd
