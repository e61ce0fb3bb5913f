// Adapters within a step of the fast executor: which rows have which, and the low-rank products beside the
// big ones. A product goes in two halves, with a barrier between: `run_down` for a row's few inner values,
// `add_up` where the big product's outputs are at hand. Rows of one adapter go together, so that a step reads
// an adapter once however many sequences have it, and a row's result does not depend on who they are. Steps
// without adapters pay for a test of `any`.
//
// The engine's thread alone calls what is not const or marked "every thread"; compute threads are idle then.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "backends/cpu/cpu_adapter.h"
#include "backends/cpu/executor.h"
#include "backends/cpu/thread_pool.h"
#include "backends/cpu/vector_kernels.h"

namespace mlxd {

class StepAdapters {
 public:
  /// Two products that read the same input take a lane each.
  static constexpr int kNumLanes = 2;

  StepAdapters(std::int32_t max_rows, std::int32_t max_inner, std::int32_t num_threads,
               const VectorKernels& kernels);

  AttachedAdapters& attached() { return attached_; }
  const AttachedAdapters& attached() const { return attached_; }
  /// After a change of those attached: takes what memory they need.
  void make_room();
  std::size_t memory_bytes() const;
  /// The largest part of what make_room takes.
  std::size_t most_inner_bytes() const {
    return static_cast<std::size_t>(max_rows_) * static_cast<std::size_t>(max_inner_) * sizeof(float);
  }

  /// Notes the adapters of a step's rows.
  void begin(const StepInput& step);
  /// The products to come are of the step's first `num_rows` rows.
  void select_first(std::int32_t num_rows);
  /// The products to come are of these rows of the step.
  void select(std::span<const std::int32_t> rows);

  /// Whether a selected row has an adapter.
  bool any() const { return !groups_.empty(); }
  /// Whether one of these adapters changes the product.
  bool adapts(const void* product) const;
  const CpuAdapter* of_row(std::int32_t row) const { return of_row_[static_cast<std::size_t>(row)]; }

  /// Every thread: the inner values of all selected rows, whole after the barrier that follows.
  /// fetch(row, to) writes a row's input.
  template <typename Fetch>
  void run_down(const void* product, int lane, const Fetch& fetch, ThreadPool& pool, std::int32_t thread) {
    const std::int32_t chunks = num_chunks(product, pool.num_threads());
    pool.share(thread, std::ssize(tiles_) * chunks, 1, [&](std::int64_t item, std::int64_t, std::int32_t) {
      const Tile& tile = tiles_[static_cast<std::size_t>(item / chunks)];
      const LowRankProduct* const low = groups_[tile.group].adapter->find(product);
      if (low == nullptr) return;
      float* const inputs = inputs_[static_cast<std::size_t>(thread)].data();
      for (std::int32_t i = 0; i < tile.num_places; ++i)
        fetch(rows_[static_cast<std::size_t>(tile.first_place + i)],
              inputs + std::ptrdiff_t{i} * low->in_features);
      multiply_down(*low, tile, static_cast<std::int32_t>(item % chunks), chunks, lane, inputs);
    });
  }

  /// Any thread: y [.., stride], the product's outputs [first_output, first_output + num_outputs) of the
  /// selected rows, become those with the adapters.
  void add_up(const void* product, int lane, std::int32_t first_output, std::int32_t num_outputs, float* y,
              std::ptrdiff_t stride) const;
  /// Any thread: the same of one row, all outputs.
  void add_up_row(const void* product, int lane, std::int32_t row, float* y) const;
  /// Any thread: the same of one row and one part of the product (an expert's, a head's), from its input x;
  /// outputs are counted from the part's first.
  void adapt_part(std::int32_t row, const void* product, std::int32_t part, const float* x,
                  std::int32_t first_output, std::int32_t num_outputs, float* y) const;
  /// Any thread: of a product that goes from some of its module's outputs back to the inputs (keys absorbed
  /// into queries): x [num_outputs] becomes what the weights themselves take; inner [kMaxAdapterRank] of it
  /// as it was goes to add_backwards. False if the row's adapter does not change it.
  bool take_backwards(std::int32_t row, const void* product, std::int32_t first_output,
                      std::int32_t num_outputs, float* x, float* inner) const;
  /// Any thread: y [in_features] += what they make.
  void add_backwards(std::int32_t row, const void* product, const float* inner, float* y) const;
  /// Any thread: x [in_features], the embedding of a token, becomes that of the row's adapter.
  void adapt_embedding(std::int32_t row, const void* product, TokenId token, float* x) const;

  /// What goes into a product that reads it quantized only: kept by row for run_down.
  float* inner(std::int32_t row) { return inner_.data() + std::ptrdiff_t{row} * max_inner_; }
  const float* inner(std::int32_t row) const { return inner_.data() + std::ptrdiff_t{row} * max_inner_; }

  std::span<const std::int32_t> rows() const { return rows_; }  // selected ones that have an adapter

 private:
  /// Selected rows of one adapter: places [first_place, first_place + num_places).
  struct Group {
    const CpuAdapter* adapter = nullptr;
    std::int32_t first_place = 0;
    std::int32_t num_places = 0;
  };
  struct Tile {
    std::size_t group = 0;
    std::int32_t first_place = 0;
    std::int32_t num_places = 0;
  };

  void regroup();
  std::int32_t num_chunks(const void* product, std::int32_t num_threads) const;
  void multiply_down(const LowRankProduct& low, const Tile& tile, std::int32_t chunk, std::int32_t chunks,
                     int lane, const float* inputs);
  const LowRankProduct* find(std::int32_t row, const void* product) const;
  void add_part(const LowRankPart& part, const float* inner, std::int32_t first_output,
                std::int32_t num_outputs, float* y) const;
  const float* values(int lane, std::int32_t place) const {
    return values_[lane].data() + std::ptrdiff_t{place} * most_ranks_;
  }

  const VectorKernels& kernels_;
  const std::int32_t max_rows_;
  const std::int32_t max_inner_;
  AttachedAdapters attached_;
  std::int32_t most_ranks_ = 0;
  std::vector<const CpuAdapter*> of_row_;    // of the step's rows
  std::vector<const CpuAdapter*> selected_;  // of the selected ones
  std::vector<std::int32_t> rows_;           // by place
  std::vector<Group> groups_;
  std::vector<Tile> tiles_;
  std::vector<float> values_[kNumLanes];    // [places, most_ranks]
  std::vector<std::vector<float>> inputs_;  // by thread: [tile, features]
  std::vector<float> inner_;                // [max_rows, max_inner]
};

}  // namespace mlxd
