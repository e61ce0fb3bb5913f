// Weight products of the fast path: weights repacked to blocks of 16 output rows, activations quantized to int8 per
// group of 32 (or kept in fp32 for dense weights). See docs/adr for the layout.
//
// Rule of a quantized product, the same for every instruction set, batch size and split, bit for bit: per activation
// group, dot = exact integer sum of code * q; then group after group, in ascending k,
//   y = fma(scale, float(dot) * a, y);  y = fma(bias, a * float(sum q), y)
// with a the activation group's scale (fp32).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "backends/cpu/isa.h"
#include "base/result.h"
#include "model/model_spec.h"
#include "model/weight_map.h"

namespace mlxd {

inline constexpr std::int32_t kBlockRows = 16;        // output rows of a block
inline constexpr std::int32_t kActivationGroup = 32;  // elements that share an activation scale

/// Activations of up to `max_rows` rows, in the form that the products of one instruction set read. Fixed memory.
class Activations {
 public:
  Activations(std::int32_t max_rows, std::int32_t max_features, Isa isa);
  ~Activations();
  Activations(Activations&&) noexcept;
  Activations& operator=(Activations&&) noexcept;

  /// Starts a new set: `rows` × `features`; then every group range must be filled.
  void reset(std::int32_t rows, std::int32_t features);
  std::int32_t rows() const;
  std::int32_t features() const;
  /// Quantizes the groups [first_group, last_group) of kActivationGroup features of all rows of x [rows, stride].
  /// Threads take disjoint group ranges (whole cache lines are written: split by groups, not by rows).
  void fill(const float* x, std::ptrdiff_t stride, std::int32_t first_group, std::int32_t last_group);
  std::size_t memory_bytes() const;

  struct Impl;
  const Impl& impl() const { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

/// One or several linear layers with the same input, stacked: their output rows follow each other in y.
class Linear {
 public:
  /// Packs `parts` (same in_features; formats may differ). Rows of each part are padded to whole blocks; the padding
  /// is not part of y. Checks scales, biases and dense values for NaN and infinity (kCorruptData, names the tensor).
  static Result<Linear> pack(std::span<const LinearSpec> parts, const WeightMap& weights, Isa isa);

  Linear();
  ~Linear();
  Linear(Linear&&) noexcept;
  Linear& operator=(Linear&&) noexcept;

  std::int32_t in_features() const;
  std::int32_t out_features() const;  // of all parts together
  std::int32_t num_blocks() const;
  /// First output row of a block; block_row(num_blocks()) is out_features().
  std::int32_t block_row(std::int32_t block) const;
  std::size_t memory_bytes() const;

  /// y[m][r] for all rows m of `x` and the rows r of blocks [first_block, last_block): y points to row 0, output row
  /// 0; `stride` floats between rows m. Adds the layer's bias if it has one. Thread-safe on disjoint blocks.
  void apply(const Activations& x, std::int32_t first_block, std::int32_t last_block, float* y,
             std::ptrdiff_t stride) const;
  /// Output row `row` of the weights in fp32, [in_features] (embedding lookup).
  void dequantize_row(std::int32_t row, float* out) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mlxd
