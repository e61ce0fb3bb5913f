// What the blocks of the fast executor share within a step: the residual stream, scratch, and the pieces of
// work that all of them do. Every function named "every thread" is called by all threads of a
// ThreadPool::run() in the same order, and may pass barriers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <vector>

#include "backends/cpu/dense_weights.h"
#include "backends/cpu/executor.h"
#include "backends/cpu/linear.h"
#include "backends/cpu/step_adapters.h"
#include "backends/cpu/thread_pool.h"
#include "backends/cpu/vector_kernels.h"
#include "engine/step_profile.h"
#include "model/model_spec.h"

namespace mlxd {

// Products are shared out in units of 32 output rows: one group of the activations that follow.
inline constexpr std::int32_t kUnitBlocks = kActivationGroup / kBlockRows;
// Outputs of a piece should stay in the second-level cache until they are consumed.
inline constexpr std::int64_t kPieceFloats = 16384;
inline constexpr std::int64_t kPiecesPerThread = 4;

inline std::int32_t num_activation_groups(std::int32_t features) {
  return (features + kActivationGroup - 1) / kActivationGroup;
}
inline std::int32_t num_units(const Linear& linear) {
  return (linear.num_blocks() + kUnitBlocks - 1) / kUnitBlocks;
}

/// The address column 0 would have if `piece` holds the columns from `first_column` on. Only for arguments
/// that are indexed by absolute column and accessed from `first_column` on.
float* column_zero(float* piece, std::int64_t first_column);

/// Output columns of a linear layer: whole blocks, all parts of which are multiples of 16 rows but the last.
struct ProductPiece {
  ProductPiece(const Linear& linear, std::int32_t first, std::int32_t last);
  static ProductPiece of_units(const Linear& linear, std::int64_t begin, std::int64_t end);

  std::int32_t first_block, last_block;
  std::int32_t first_column;
  std::int32_t columns;
  std::size_t stride;  // of the piece's rows in scratch
};

/// Activations of a whole step in shared memory, with what its products read of them.
struct SharedActivations {
  SharedActivations(std::int32_t rows, std::int32_t max_features, Isa isa, std::int32_t bits)
      : activations(rows, max_features, isa, bits) {}
  void serve(const Linear& linear) { forms = forms | linear.activation_forms(); }
  /// Begins a new set; one thread, with a barrier on either side to those that read and fill it.
  void reset(std::int32_t rows, std::int32_t features) { activations.reset(rows, features, forms); }

  Activations activations;
  ActivationForms forms{};
};

class StepWorkspace {
 public:
  struct Options {
    Isa isa = Isa::kScalar;
    std::int32_t max_rows = 0;
    std::int32_t activation_bits = 8;  // or 16
    StepProfile* profile = nullptr;    // or null
  };
  StepWorkspace(const ModelSpec& spec, ThreadPool& pool, const Options& options);

  /// What one thread writes for itself alone.
  struct ThreadScratch {
    ThreadScratch(std::int32_t max_features, std::size_t piece_floats, const Options& options);
    Activations activations;           // of few rows
    std::vector<float> normed;         // the rows behind them
    std::vector<float> first, second;  // outputs of a piece of a product
    std::vector<Peak> peaks;           // of the rows of compute_logits
  };

  ThreadPool& pool() const { return pool_; }
  const VectorKernels& kernels() const { return kernels_; }
  ThreadScratch& scratch(std::int32_t thread) { return *threads_[static_cast<std::size_t>(thread)]; }
  /// What this thread has done since its last call belongs to `stage`, if there is a profile.
  void end_stage(std::int32_t thread, StepStage stage) {
    if (profile_ != nullptr) profile_->lap(thread, stage);
  }
  void barrier(std::int32_t thread) {
    pool_.barrier();
    end_stage(thread, StepStage::kWait);
  }
  /// The end of a stage and the wait for all others.
  void barrier_after(std::int32_t thread, StepStage stage) {
    end_stage(thread, stage);
    barrier(thread);
  }
  std::size_t memory_bytes() const;

  std::int32_t hidden() const { return hidden_; }
  std::int32_t max_rows() const { return max_rows_; }
  std::int32_t rows() const { return rows_; }  // of the step
  void set_rows(std::int32_t rows) { rows_ = rows; }
  float* x(std::int32_t row) { return x_.data() + static_cast<std::ptrdiff_t>(row) * hidden_; }
  float* branch(std::int32_t row) { return branch_.data() + static_cast<std::ptrdiff_t>(row) * hidden_; }
  float* normed() { return normed_.data(); }  // [2 · rows, hidden]

  SharedActivations& hidden_activations() { return hidden_activations_; }
  SharedActivations& attention_activations() { return attention_activations_; }
  SharedActivations& mlp_activations() { return mlp_activations_; }

  StepAdapters& adapters() { return adapters_; }
  const StepAdapters& adapters() const { return adapters_; }
  /// Every thread, before products of one input, at most a lane each: what the adapters of the step's rows
  /// need of it; fetch(row, to) writes a row. Passes a barrier if there are any.
  template <typename Fetch>
  void begin_adapters(std::initializer_list<const void*> products, StepStage stage, std::int32_t thread,
                      const Fetch& fetch) {
    if (!adapters_.any()) return;
    int lane = 0;
    bool waits = false;
    for (const void* const product : products) {
      if (adapters_.adapts(product)) {
        adapters_.run_down(product, lane, fetch, pool_, thread);
        waits = true;
      }
      ++lane;
    }
    if (waits) barrier_after(thread, stage);
  }
  /// The same of norm(x).
  void begin_adapters_of_norm(std::initializer_list<const void*> products, const DenseNorm* norm,
                              StepStage stage, std::int32_t thread) {
    begin_adapters(products, stage, thread,
                   [&](std::int32_t row, float* to) { normalize_row(x(row), norm, 0, 0, to); });
  }
  /// The same of values [rows, features].
  void begin_adapters_of(std::initializer_list<const void*> products, const float* values,
                         std::int32_t features, StepStage stage, std::int32_t thread) {
    begin_adapters(products, stage, thread, [&](std::int32_t row, float* to) {
      std::copy_n(values + std::ptrdiff_t{row} * features, features, to);
    });
  }

  /// Whether a product that needs it gets what 8-bit activations lose as rows of their own.
  bool splits(const Linear& linear) const;
  /// How often a product goes through each row, for a profile: once for each 8 bits of its integers.
  std::int32_t passes(const Linear& linear) const;

  /// out [n] = norm of x [n], whose weights begin at `first_weight`; out may be x.
  void normalize_vector(const DenseNorm& norm, const float* x, std::size_t first_weight, std::int32_t n,
                        float* out) const;
  /// Row `row` of out [.., hidden] = norm(x), or x if there is none; if `split_rows` is not 0, what int8
  /// loses of it goes to the row that much further on.
  void normalize_row(const float* x, const DenseNorm* norm, std::int32_t split_rows, std::int32_t row,
                     float* out) const;

  /// Every thread: normed x in the form of a product's input, each row twice if `split`.
  const Activations& quantize_normed(const DenseNorm* norm, bool split, std::int32_t thread);
  /// Every thread: values [rows, features], written before the last barrier, in the form of a product's
  /// input; `shared` was reset for them before it.
  const Activations& quantize(const float* values, std::int32_t features, SharedActivations& shared,
                              std::int32_t thread);

  /// A piece of a product for `rows` rows; if the input has them twice, split in two, the sum of both halves.
  void apply_piece(const Linear& linear, const Activations& input, std::int32_t rows,
                   const ProductPiece& piece, std::vector<float>& out) const;
  /// The same for all rows of the step, with their adapters.
  void apply_adapted(const Linear& linear, int lane, const Activations& input, const ProductPiece& piece,
                     std::vector<float>& out) const {
    apply_piece(linear, input, rows_, piece, out);
    if (adapters_.any()) add_adapters(linear, lane, piece, out);
  }
  /// Adds what begin_adapters prepared to a piece of a product.
  void add_adapters(const Linear& linear, int lane, const ProductPiece& piece,
                    std::vector<float>& out) const {
    adapters_.add_up(&linear, lane, piece.first_column, piece.columns, out.data(),
                     static_cast<std::ptrdiff_t>(piece.stride));
  }
  /// Adds a bias, if there is one, to the piece's columns of `rows` rows.
  void add_bias(const std::vector<float>& bias, std::int32_t rows, const ProductPiece& piece,
                std::vector<float>& out) const;
  /// Units in a piece: few enough that pieces balance, few enough that their outputs stay in cache.
  std::int64_t piece_units(std::int64_t units, std::int64_t pieces_per_thread, std::int32_t rows) const;

  // With the rows' adapters, prepared in lane 0:
  /// Every thread: out [rows, stride] = linear(input) + bias, which may be empty.
  void multiply(const Linear& linear, const std::vector<float>& bias, const Activations& input, float* out,
                std::ptrdiff_t stride, std::int32_t thread);
  /// Every thread: x *= factor.
  void scale_rows(float factor, std::int32_t thread);
  /// Every thread: branch = linear(input).
  void set_branch(const Linear& linear, const Activations& input, std::int32_t thread);
  /// Every thread: x += scale · post(linear(input)); `post` may be null. The product is of `stage`.
  void add_product(const Linear& linear, const Activations& input, const DenseNorm* post, float scale,
                   StepStage stage, std::int32_t thread);
  /// x += scale · post(branch) of one row.
  void add_branch_row(const DenseNorm* post, float scale, std::int32_t row);

 private:
  static bool few_rows(std::int32_t rows, std::int32_t features);
  void add_to(const float* y, float scale, float* x, std::int32_t n) const;

  ThreadPool& pool_;
  const VectorKernels& kernels_;
  StepProfile* const profile_;
  const std::int32_t hidden_;
  const std::int32_t max_rows_;
  std::int32_t rows_ = 0;
  std::vector<float> x_, branch_, normed_;
  SharedActivations hidden_activations_, attention_activations_, mlp_activations_;
  StepAdapters adapters_;
  std::vector<std::unique_ptr<ThreadScratch>> threads_;
};

}  // namespace mlxd
