#include "backends/cpu/step_workspace.h"

#include <algorithm>

namespace mlxd {
namespace {

// Up to here quantizing takes less time than a barrier between the shares of several threads.
constexpr std::int32_t kFewRows = 8;
constexpr std::int32_t kFewElements = 6144;
constexpr std::int32_t kRowPadding = 16;  // breaks up strides of powers of two

struct Widths {
  std::int32_t head_dim = 0, queries = 0, intermediate = 0;
  std::int32_t inputs = 0;  // of a layer's own
};

/// The widest of each kind.
Widths widest(const ModelSpec& spec) {
  Widths widths;
  widths.intermediate = kActivationGroup;  // a model of experts only has none
  if (spec.per_layer_embedding) widths.inputs = spec.per_layer_embedding->dim;
  for (const LayerSpec& layer : spec.layers) {
    if (layer.attention) {
      widths.head_dim = std::max(widths.head_dim, layer.attention->head_dim);
      widths.queries = std::max(widths.queries, layer.attention->o_proj.in_features);
    }
    if (layer.recurrent) widths.queries = std::max(widths.queries, layer.recurrent->inner());
    if (layer.mlp) widths.intermediate = std::max(widths.intermediate, layer.mlp->up_proj.out_features);
    if (layer.moe && layer.moe->shared)
      widths.intermediate = std::max(widths.intermediate, layer.moe->shared->up_proj.out_features);
  }
  return widths;
}

/// Whether a product takes its activations as integers.
bool takes_integers(const Linear& linear) {
  return (linear.activation_forms() | ActivationForms::kFp32) != linear.activation_forms();
}

}  // namespace

float* column_zero(float* piece, std::int64_t first_column) {
  return reinterpret_cast<float*>(reinterpret_cast<std::uintptr_t>(piece) -
                                  static_cast<std::uintptr_t>(first_column) * sizeof(float));
}

ProductPiece::ProductPiece(const Linear& linear, std::int32_t first, std::int32_t last)
    : first_block(first),
      last_block(std::min(last, linear.num_blocks())),
      first_column(linear.block_row(first)),
      columns(linear.block_row(last_block) - first_column),
      stride(static_cast<std::size_t>((last - first) * kBlockRows + kRowPadding)) {}

ProductPiece ProductPiece::of_units(const Linear& linear, std::int64_t begin, std::int64_t end) {
  return {linear, static_cast<std::int32_t>(begin) * kUnitBlocks,
          static_cast<std::int32_t>(end) * kUnitBlocks};
}

StepWorkspace::ThreadScratch::ThreadScratch(std::int32_t max_features, std::size_t piece_floats,
                                            const Options& options)
    : activations(kFewRows, max_features, options.isa, options.activation_bits),
      normed(static_cast<std::size_t>(kFewRows) * static_cast<std::size_t>(max_features)),
      first(piece_floats),
      second(piece_floats),
      peaks(Executor::kLogitRows) {}

StepWorkspace::StepWorkspace(const ModelSpec& spec, ThreadPool& pool, const Options& options)
    : pool_(pool),
      kernels_(vector_kernels(options.isa)),
      profile_(options.profile),
      hidden_(spec.hidden_size),
      max_rows_(options.max_rows),
      hidden_activations_(2 * std::max<std::int32_t>(options.max_rows, Executor::kLogitRows),
                          spec.hidden_size, options.isa, options.activation_bits),
      attention_activations_(options.max_rows, widest(spec).queries, options.isa, options.activation_bits),
      mlp_activations_(options.max_rows, widest(spec).intermediate, options.isa, options.activation_bits),
      adapters_(std::max<std::int32_t>(options.max_rows, Executor::kLogitRows), widest(spec).intermediate,
                pool.num_threads(), kernels_) {
  const Widths widths = widest(spec);
  const auto rows = static_cast<std::size_t>(options.max_rows);
  const auto hidden = static_cast<std::size_t>(spec.hidden_size);
  x_.resize(rows * hidden);
  const bool branches = std::any_of(spec.layers.begin(), spec.layers.end(), [](const LayerSpec& layer) {
    return layer.moe || layer.attention_post_norm || layer.mlp_post_norm || layer.per_layer_input;
  });
  if (branches) branch_.resize(rows * hidden);
  normed_.resize(2 * std::max(rows, Executor::kLogitRows) * hidden);
  const auto head = static_cast<std::size_t>(std::max(widths.head_dim, kActivationGroup));
  const std::size_t piece_floats = std::max<std::size_t>(kPieceFloats, 2 * rows * head) +
                                   2 * std::max<std::size_t>(rows, Executor::kLogitRows) * kRowPadding;
  for (std::int32_t i = 0; i < pool.num_threads(); ++i) {
    threads_.push_back(std::make_unique<ThreadScratch>(
        std::max({spec.hidden_size, widths.queries, widths.inputs}), piece_floats, options));
  }
}

std::size_t StepWorkspace::memory_bytes() const {
  std::size_t bytes = (x_.size() + branch_.size() + normed_.size()) * sizeof(float) +
                      hidden_activations_.activations.memory_bytes() +
                      attention_activations_.activations.memory_bytes() +
                      mlp_activations_.activations.memory_bytes();
  for (const auto& thread : threads_) {
    bytes += thread->activations.memory_bytes() +
             (thread->normed.size() + thread->first.size() + thread->second.size()) * sizeof(float);
  }
  return bytes;
}

bool StepWorkspace::splits(const Linear& linear) const {
  return takes_integers(linear) && hidden_activations_.activations.bits() == 8;
}

std::int32_t StepWorkspace::passes(const Linear& linear) const {
  return takes_integers(linear) ? hidden_activations_.activations.bits() / 8 : 1;
}

bool StepWorkspace::few_rows(std::int32_t rows, std::int32_t features) {
  return rows <= kFewRows && rows * features <= kFewElements;
}

void StepWorkspace::normalize_vector(const DenseNorm& norm, const float* x, std::size_t first_weight,
                                     std::int32_t n, float* out) const {
  const float* weight = norm.weight.data() + first_weight;
  if (norm.kind == NormKind::kRms) {
    kernels_.normalize(x, weight, kernels_.inverse_rms(x, n, norm.eps), out, n);
    if (!norm.bias.empty()) kernels_.add_to(norm.bias.data() + first_weight, out, n);
    return;
  }
  const float* bias = norm.bias.empty() ? nullptr : norm.bias.data() + first_weight;
  const float mean = kernels_.mean(x, n);
  kernels_.normalize_centered(x, weight, bias, mean, kernels_.inverse_deviation(x, mean, n, norm.eps), out,
                              n);
}

void StepWorkspace::normalize_row(const float* x, const DenseNorm* norm, std::int32_t split_rows,
                                  std::int32_t row, float* out) const {
  float* to = out + static_cast<std::ptrdiff_t>(row) * hidden_;
  if (norm != nullptr) {
    normalize_vector(*norm, x, 0, hidden_, to);
  } else {
    std::copy_n(x, hidden_, to);
  }
  if (split_rows > 0) kernels_.split(to, to, to + static_cast<std::ptrdiff_t>(split_rows) * hidden_, hidden_);
}

const Activations& StepWorkspace::quantize_normed(const DenseNorm* norm, bool split, std::int32_t thread) {
  const std::int32_t num_rows = split ? 2 * rows_ : rows_;
  const ActivationForms forms = hidden_activations_.forms;
  if (few_rows(num_rows, hidden_)) {
    ThreadScratch& own = scratch(thread);
    for (std::int32_t row = 0; row < rows_; ++row)
      normalize_row(x(row), norm, split ? rows_ : 0, row, own.normed.data());
    own.activations.reset(num_rows, hidden_, forms);
    own.activations.fill(own.normed.data(), hidden_, 0, num_activation_groups(hidden_));
    end_stage(thread, StepStage::kNorm);
    return own.activations;
  }
  pool_.share(thread, rows_, 1, [&](std::int64_t begin, std::int64_t end, std::int32_t) {
    for (auto row = static_cast<std::int32_t>(begin); row < static_cast<std::int32_t>(end); ++row)
      normalize_row(x(row), norm, split ? rows_ : 0, row, normed_.data());
  });
  // The product that read it last ended at least a barrier ago.
  Activations& shared = hidden_activations_.activations;
  if (thread == 0) shared.reset(num_rows, hidden_, forms);
  barrier_after(thread, StepStage::kNorm);
  pool_.share(thread, num_activation_groups(hidden_), 1,
              [&](std::int64_t begin, std::int64_t end, std::int32_t) {
                shared.fill(normed_.data(), hidden_, static_cast<std::int32_t>(begin),
                            static_cast<std::int32_t>(end));
              });
  barrier_after(thread, StepStage::kNorm);
  return shared;
}

const Activations& StepWorkspace::quantize(const float* values, std::int32_t features,
                                           SharedActivations& shared, std::int32_t thread) {
  if (few_rows(rows_, features)) {
    Activations& own = scratch(thread).activations;
    own.reset(rows_, features, shared.forms);
    own.fill(values, features, 0, num_activation_groups(features));
    end_stage(thread, StepStage::kNorm);
    return own;
  }
  pool_.share(thread, num_activation_groups(features), 1,
              [&](std::int64_t begin, std::int64_t end, std::int32_t) {
                shared.activations.fill(values, features, static_cast<std::int32_t>(begin),
                                        static_cast<std::int32_t>(end));
              });
  barrier_after(thread, StepStage::kNorm);
  return shared.activations;
}

void StepWorkspace::apply_piece(const Linear& linear, const Activations& input, std::int32_t rows,
                                const ProductPiece& piece, std::vector<float>& out) const {
  linear.apply(input, piece.first_block, piece.last_block, column_zero(out.data(), piece.first_column),
               static_cast<std::ptrdiff_t>(piece.stride));
  for (std::int32_t row = rows; row < input.rows(); ++row) {
    const float* low = out.data() + static_cast<std::size_t>(row) * piece.stride;
    kernels_.add_to(low, out.data() + static_cast<std::size_t>(row - rows) * piece.stride, piece.columns);
  }
}

void StepWorkspace::add_bias(const std::vector<float>& bias, std::int32_t rows, const ProductPiece& piece,
                             std::vector<float>& out) const {
  if (bias.empty()) return;
  for (std::int32_t row = 0; row < rows; ++row) {
    kernels_.add_to(bias.data() + piece.first_column,
                    out.data() + static_cast<std::size_t>(row) * piece.stride, piece.columns);
  }
}

std::int64_t StepWorkspace::piece_units(std::int64_t units, std::int64_t pieces_per_thread,
                                        std::int32_t rows) const {
  const std::int64_t balanced = units / (pool_.num_threads() * pieces_per_thread);
  const std::int64_t cached = kPieceFloats / (std::int64_t{rows} * kActivationGroup);
  return std::max<std::int64_t>(1, std::min(balanced, cached));
}

void StepWorkspace::add_to(const float* y, float scale, float* x, std::int32_t n) const {
  if (scale == 1.0F) return kernels_.add_to(y, x, n);
  kernels_.add_scaled(y, scale, x, n);
}

void StepWorkspace::multiply(const Linear& linear, const std::vector<float>& bias, const Activations& input,
                             float* out, std::ptrdiff_t stride, std::int32_t thread) {
  const std::int64_t units = num_units(linear);
  std::vector<float>& scratch_out = scratch(thread).first;
  pool_.share(thread, units, piece_units(units, kPiecesPerThread, input.rows()),
              [&](std::int64_t begin, std::int64_t end, std::int32_t) {
                const ProductPiece piece = ProductPiece::of_units(linear, begin, end);
                apply_adapted(linear, 0, input, piece, scratch_out);
                add_bias(bias, rows_, piece, scratch_out);
                for (std::int32_t row = 0; row < rows_; ++row) {
                  std::copy_n(scratch_out.data() + static_cast<std::size_t>(row) * piece.stride,
                              piece.columns, out + row * stride + piece.first_column);
                }
              });
}

void StepWorkspace::set_branch(const Linear& linear, const Activations& input, std::int32_t thread) {
  multiply(linear, {}, input, branch_.data(), hidden_, thread);
}

void StepWorkspace::scale_rows(float factor, std::int32_t thread) {
  pool_.share(thread, rows_, 1, [&](std::int64_t begin, std::int64_t end, std::int32_t) {
    for (auto row = static_cast<std::int32_t>(begin); row < static_cast<std::int32_t>(end); ++row)
      kernels_.scale(x(row), factor, x(row), hidden_);
  });
  end_stage(thread, StepStage::kNorm);
}

void StepWorkspace::add_branch_row(const DenseNorm* post, float scale, std::int32_t row) {
  if (post != nullptr) normalize_vector(*post, branch(row), 0, hidden_, branch(row));
  add_to(branch(row), scale, x(row), hidden_);
}

void StepWorkspace::add_product(const Linear& linear, const Activations& input, const DenseNorm* post,
                                float scale, StepStage stage, std::int32_t thread) {
  if (post != nullptr) {
    set_branch(linear, input, thread);
    barrier_after(thread, stage);
    pool_.share(thread, rows_, 1, [&](std::int64_t begin, std::int64_t end, std::int32_t) {
      for (auto row = static_cast<std::int32_t>(begin); row < static_cast<std::int32_t>(end); ++row)
        add_branch_row(post, scale, row);
    });
    end_stage(thread, StepStage::kNorm);
    return;
  }
  const std::int64_t units = num_units(linear);
  ThreadScratch& own = scratch(thread);
  pool_.share(thread, units, piece_units(units, kPiecesPerThread, rows_),
              [&](std::int64_t begin, std::int64_t end, std::int32_t) {
                const ProductPiece piece = ProductPiece::of_units(linear, begin, end);
                apply_adapted(linear, 0, input, piece, own.first);
                for (std::int32_t row = 0; row < rows_; ++row) {
                  add_to(own.first.data() + static_cast<std::size_t>(row) * piece.stride, scale,
                         x(row) + piece.first_column, piece.columns);
                }
              });
  end_stage(thread, stage);
}

}  // namespace mlxd
