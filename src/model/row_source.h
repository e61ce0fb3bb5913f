// What stands behind a WeightRowReader: one kind of storage. Internal to src/model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/model_spec.h"
#include "model/tensor.h"
#include "model/weight_map.h"
#include "model/weight_rows.h"

namespace mlxd {

class RowSource {
 public:
  virtual ~RowSource() = default;

  /// Appends stored rows, of which the caller has checked that they exist.
  virtual Result<void> append(std::span<const std::int64_t> rows, WeightRows& out) const = 0;

  DType float_type() const { return float_type_; }
  DType biases_type() const { return biases_type_; }
  std::span<const TensorView* const> tensors() const { return tensors_; }
  /// Those that messages about weights and scales name.
  const std::string& weight_name() const { return tensors_.front()->name; }
  const std::string& scales_name() const { return tensors_[tensors_.size() > 1 ? 1 : 0]->name; }

 protected:
  DType float_type_ = DType::kBF16;
  DType biases_type_ = DType::kBF16;
  std::vector<const TensorView*> tensors_;  // weights, then scales, then others
};

/// One for each WeightStorage. Errors: as of WeightRowReader::open.
Result<std::unique_ptr<RowSource>> open_mlx_rows(const LinearSpec& linear, const WeightMap& weights);
Result<std::unique_ptr<RowSource>> open_transposed_rows(const LinearSpec& linear, const WeightMap& weights);
Result<std::unique_ptr<RowSource>> open_packed_int_rows(const LinearSpec& linear, const WeightMap& weights);
Result<std::unique_ptr<RowSource>> open_fp8_rows(const LinearSpec& linear, const WeightMap& weights);

/// Which tensor has the scales of a module that is stored as kFp8.
std::string fp8_scale_name(const std::string& module, const WeightMap& weights);

/// A tensor of `elements` elements. Errors: kCorruptData naming it.
Result<const TensorView*> find_tensor(const WeightMap& weights, const std::string& name,
                                      std::int64_t elements);
/// The error of a tensor whose type is not one of those `wanted`.
Error wrong_type(const TensorView& tensor, std::string_view wanted);
Error not_finite(const std::string& tensor_name);

/// A float of F16, BF16 or F32 as it lies in a file.
float load_float(const std::byte* from, DType dtype);

}  // namespace mlxd
