// Weight matrices rewritten to blocks of 16 output rows, the form that the product kernels read
// (linear_tasks.h has the layout). Plain functions over memory that the caller owns; thread-safe on disjoint
// blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backends/cpu/linear_tasks.h"
#include "base/result.h"
#include "model/model_spec.h"
#include "model/weight_map.h"
#include "model/weight_rows.h"

namespace mlxd {

/// What a packed matrix's products are made of: integers or floats.
enum class WeightKind : std::uint8_t {
  kDense,   // fp16, bf16, fp32, or e4m3 with e8m0 scales in groups of 32 (mxfp8): an fp32 product
  kAffine,  // codes, scales and biases
  kE2M1,    // e2m1 with e8m0 scales in groups of 32 (mxfp4) or e4m3 scales in groups of 16 (nvfp4)
};

/// How a packed matrix is stored; equal formats can lie in one run of blocks.
struct PackedFormat {
  WeightKind kind = WeightKind::kDense;
  std::int32_t code_bits = 0;                 // of kAffine and kE2M1
  std::int32_t group_size = 0;                // 0 without scales
  ScalarType scalar_type = ScalarType::kF32;  // of scales and biases, or of dense values
  std::int32_t in_features = 0;               // dense: padded with zeros to a multiple of 32
  bool operator==(const PackedFormat&) const = default;

  bool dense() const { return kind == WeightKind::kDense; }
  std::size_t block_bytes() const;
  std::int32_t num_groups() const { return group_size == 0 ? 0 : in_features / group_size; }
};

/// The tensors of one linear layer, checked against its spec. Views: valid as long as the WeightMap.
struct WeightSource {
  // Of layers that are stored as MLX does; the others have a reader.
  const TensorView* weight = nullptr;
  const TensorView* scales = nullptr;  // quantized only
  const TensorView* biases = nullptr;  // affine only
  const TensorView* bias = nullptr;    // the layer's own, or null
  std::optional<WeightRowReader> reader;
  LinearSpec spec;
  PackedFormat format;

  /// All of the above that there are.
  std::vector<const TensorView*> tensors() const;

  /// Errors: kCorruptData for a missing tensor or one whose type or size is not what the spec says;
  /// kUnsupported.
  static Result<WeightSource> find(const LinearSpec& spec, const WeightMap& weights);
};

/// Packs the 16 rows from `first_row` (rows past the end become zeros) into `block`, block_bytes() long.
/// `scratch` is for rows that have to be read first. Errors: kCorruptData naming the tensor that holds a NaN,
/// an infinity or a scale whose weights are beyond fp32.
Result<void> pack_block(const WeightSource& source, std::int32_t first_row, WeightRows& scratch,
                        std::byte* block);

/// Row `lane` of a packed block in fp32, `num_features` of it.
void dequantize_lane(const PackedFormat& format, const std::byte* block, std::int32_t lane,
                     std::int32_t num_features, float* out);

/// The layer's own bias as fp32, spec.out_features values.
Result<void> load_bias(const WeightSource& source, float* out);

}  // namespace mlxd
