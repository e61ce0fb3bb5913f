// Weight products of the fast path: weights repacked to blocks of 16 output rows, activations quantized to
// int8 per group of 32 (or kept in fp32 for dense weights). See docs/adr/cpu-weight-layout.md for the layout.
//
// Rule of a product, the same for every instruction set, batch size and split, bit for bit (in fp32):
// - affine (2, 3, 4, 5, 6, 8 bits): per activation group i, dot_i = exact integer sum of code * q, a_i its
//   scale, c_i = a_i * sum q; per weight group, over its activation groups in ascending k, t = dot_0 * a_0,
//   t = fma(dot_i, a_i, t), c = c_0 + c_1 + …; then y = fma(scale, t, y), y = fma(bias, c, y), in ascending
//   k from y = 0. With 16-bit activations each activation group is two, its high and its low bytes
//   (linear_tasks.h).
// - mxfp4, nvfp4: the same with twice the e2m1 number, an integer, as code: per weight group of 32 or 16,
//   t = dot * a, y = fma(scale / 2, t, y).
// - dense, and mxfp8, whose weights e4m3 * scale are exact in fp32 and do not fit int8: even and odd k are
//   two chains of fma(w, x, sum) in ascending k; y = even + odd.
// The layer's own bias is added last.
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

/// What a product reads of its activations, as flags: int8 groups (affine weights), the same with sums of
/// them (mxfp4, nvfp4), fp32 (dense weights, mxfp8).
enum class ActivationForms : std::uint8_t { kInt8 = 1, kFp32 = 2, kInt8Offsets = 1 + 4, kAll = 7 };

constexpr ActivationForms operator|(ActivationForms a, ActivationForms b) {
  return static_cast<ActivationForms>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}

/// Activations of up to `max_rows` rows, in the form that the products of one instruction set read: integers
/// of `bits` bits, 8 or 16, or fp32. Fixed memory.
class Activations {
 public:
  Activations(std::int32_t max_rows, std::int32_t max_features, Isa isa, std::int32_t bits = 8);
  ~Activations();
  Activations(Activations&&) noexcept;
  Activations& operator=(Activations&&) noexcept;

  /// Starts a new set: `rows` × `features`; then every group range must be filled. Asking only for the forms
  /// that the products will read (Linear::activation_forms) saves time; kInt8 needs whole groups of features.
  void reset(std::int32_t rows, std::int32_t features, ActivationForms forms = ActivationForms::kAll);
  std::int32_t rows() const;
  std::int32_t features() const;
  std::int32_t bits() const;
  /// Groups of kActivationGroup features, the last one possibly partial.
  std::int32_t num_groups() const;
  /// Quantizes the groups [first_group, last_group) of kActivationGroup features of all rows of x [rows,
  /// stride]. Threads take disjoint group ranges (whole cache lines are written: split by groups, not by
  /// rows). A group that holds a NaN or infinity becomes NaN; one whose values are all below 1e-30 becomes
  /// zero.
  void fill(const float* x, std::ptrdiff_t stride, std::int32_t first_group, std::int32_t last_group);
  std::size_t memory_bytes() const;

  struct Impl;
  const Impl& impl() const { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

/// How the output rows of several layers packed together follow each other in y.
enum class PartOrder : std::uint8_t {
  kStacked,      // all rows of part 0, then all of part 1, …
  kInterleaved,  // block 0 of each part in turn, then block 1 of each, …; needs equal out_features (gate and
                 // up)
};

/// One or several linear layers with the same input, stacked or interleaved.
class Linear {
 public:
  /// All of a LinearPacking at once.
  static Result<Linear> pack(std::span<const LinearSpec> parts, const WeightMap& weights, Isa isa,
                             PartOrder order = PartOrder::kStacked);

  Linear();
  ~Linear();
  Linear(Linear&&) noexcept;
  Linear& operator=(Linear&&) noexcept;

  std::int32_t in_features() const;
  std::int32_t out_features() const;  // of all parts together
  /// The forms that `apply` reads.
  ActivationForms activation_forms() const;
  /// Blocks in the order in which they lie in memory and in y. Products of more than 16 rows take them in
  /// pairs: ranges given to `apply` should then be of even length.
  std::int32_t num_blocks() const;
  /// First output row of a block; block_row(num_blocks()) is out_features().
  std::int32_t block_row(std::int32_t block) const;
  std::size_t memory_bytes() const;

  /// y[m][r] for all rows m of `x` and the rows r of blocks [first_block, last_block): y points to row 0,
  /// output row 0; `stride` floats between rows m. Adds the layer's bias if it has one. Thread-safe on
  /// disjoint blocks.
  void apply(const Activations& x, std::int32_t first_block, std::int32_t last_block, float* y,
             std::ptrdiff_t stride) const;
  /// What `apply` adds to an output row; 0 if the layer has no bias of its own.
  float bias(std::int32_t row) const;
  /// Output row `row` of the weights in fp32, [in_features] (embedding lookup).
  void dequantize_row(std::int32_t row, float* out) const;

 private:
  friend class LinearPacking;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A layer on its way into packed form, in pieces that several threads can share. The WeightMap outlives it.
class LinearPacking {
 public:
  /// Of `parts` (same in_features; formats may differ). Rows of each part are padded to whole blocks; the
  /// padding is not part of y. Takes memory but does not touch it. Errors: kCorruptData, kUnsupported,
  /// kOutOfMemory.
  static Result<LinearPacking> create(std::span<const LinearSpec> parts, const WeightMap& weights, Isa isa,
                                      PartOrder order = PartOrder::kStacked);
  ~LinearPacking();
  LinearPacking(LinearPacking&&) noexcept;
  LinearPacking& operator=(LinearPacking&&) noexcept;

  std::int32_t num_blocks() const;
  std::size_t block_bytes() const;  // on average
  /// Has the system read the source tensors from the disk, in the background.
  void prefetch() const;
  /// Each block once; thread-safe on disjoint ranges. Errors: kCorruptData for NaN and infinity in scales,
  /// biases and dense values, naming the tensor.
  Result<void> pack_blocks(std::int32_t first, std::int32_t last);
  /// When all blocks are packed: drops the source tensors' pages and gives the layer away. Errors:
  /// kCorruptData for NaN and infinity in the layer's own bias.
  Result<Linear> finish();

 private:
  struct Impl;
  explicit LinearPacking(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mlxd
