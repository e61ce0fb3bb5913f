// Output rows of a linear layer as MLX lays them out, whatever way its files hold them (WeightStorage): for
// whoever loads, converts or checks weights, any rows at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/model_spec.h"
#include "model/tensor.h"
#include "model/weight_map.h"

namespace mlxd {

/// Rows one after the other, in the layout that Quantization describes.
struct WeightRows {
  std::vector<std::byte> weight;  // words of codes, or dense values of WeightRowReader::float_type
  std::vector<std::byte> scales;  // of float_type, or bytes in the floating point modes; empty if dense
  std::vector<std::byte> biases;  // of float_type; empty unless affine

  void clear() {
    weight.clear();
    scales.clear();
    biases.clear();
  }
};

/// The tensors that may hold a layer's weights, its bias left out: those of its storage, not all of which
/// every model has.
std::vector<std::string> weight_tensor_names(const LinearSpec& linear);

/// Whether there are weights of a module of this name, in whatever storage.
bool has_module(const WeightMap& weights, const std::string& name);

class RowSource;

/// Reads the rows of one layer. A value; thread-safe; views into the WeightMap, which must outlive it.
class WeightRowReader {
 public:
  /// Errors: kCorruptData for a missing tensor or one whose type or size is not what the spec says.
  static Result<WeightRowReader> open(const LinearSpec& linear, const WeightMap& weights);

  /// F16, BF16 or F32: of dense values, or of the scales and biases of affine codes. BF16 where neither is.
  DType float_type() const;
  /// All that it reads, the one with the weights first.
  std::span<const TensorView* const> tensors() const;

  /// Replaces `out` by the layer's rows [first, first + count). Errors: kCorruptData naming the tensor that
  /// holds a NaN or infinity.
  Result<void> read(std::int64_t first, std::int64_t count, WeightRows& out) const;
  /// The same rows in fp32, [count, in_features], appended to `out`.
  Result<void> append_values(std::int64_t first, std::int64_t count, std::vector<float>& out) const;

 private:
  LinearSpec linear_;
  std::shared_ptr<const RowSource> source_;
};

}  // namespace mlxd
