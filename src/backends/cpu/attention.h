// Attention of a step's queries over a layer group's K/V pages, for the fast executor: cuts the step into
// independent items (query tokens × heads of one K/V head × segments of keys) so that any number of threads
// can share them, and runs them. However it is cut, each query row goes through the same operations: bits
// don't depend on the plan. Pages that lie behind the group's window for all queries of a sequence are not
// looked at.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "backends/cpu/aligned_vector.h"
#include "backends/cpu/executor.h"
#include "backends/cpu/kv_pages.h"
#include "backends/cpu/vector_kernels.h"
#include "model/model_spec.h"

namespace mlxd {

/// One layer's inputs and output.
struct AttentionLayer {
  const AttentionSpec* spec = nullptr;
  const float* queries = nullptr;  // [tokens, query_stride], scaled and rotated; head h at h * head_dim
  std::ptrdiff_t query_stride = 0;
  float* out = nullptr;          // [tokens, num_heads * head_dim]
  const float* sinks = nullptr;  // [num_heads], or null: scores of no value, as in AttentionSpec
};

class PagedAttention {
 public:
  struct Options {
    const VectorKernels* kernels = nullptr;
    const KvPages* pages = nullptr;
    std::int32_t window_tokens = 0;  // as in LayerGroup
    std::int32_t num_threads = 1;
    std::int32_t max_batch_tokens = 0;
    std::int32_t max_batch_sequences = 0;
    std::int32_t context_tokens = 0;
    std::int32_t num_heads = 0;     // most of any layer
    std::int32_t num_kv_heads = 0;  // most of any layer
    std::int32_t head_dim = 0;      // largest of any layer
  };
  explicit PagedAttention(const Options& options);
  ~PagedAttention();
  PagedAttention(const PagedAttention&) = delete;
  PagedAttention& operator=(const PagedAttention&) = delete;

  /// Cuts a step for layers shaped like `spec`; one thread, before the items run.
  void plan(const StepInput& step, const AttentionSpec& spec);
  std::int32_t num_items() const { return static_cast<std::int32_t>(items_.size()); }
  /// Any thread, each item once per layer; the K/V of the step must have been written.
  void run(std::int32_t item, const StepInput& step, const AttentionLayer& layer, std::int32_t thread);

  std::size_t memory_bytes() const { return memory_bytes_; }

 private:
  struct Item {
    std::int32_t sequence = 0;
    std::int32_t first_token = 0;  // in the batch
    std::int32_t num_tokens = 0;
    std::int32_t kv_head = 0;
    std::int32_t first_head = 0;  // within the heads that share the K/V head
    std::int32_t num_heads = 0;
    std::int32_t first_segment = 0;
    std::int32_t last_segment = 0;  // not included
    std::int32_t split = -1;        // index of the split this is a part of; -1: whole
  };
  /// Several items over the same queries; the last to finish merges their segments in order.
  struct Split {
    std::int32_t first_state = 0;  // of states_: one for each segment and row
    std::int32_t first_segment = 0;
    std::int32_t last_segment = 0;  // not included
    std::int32_t num_parts = 0;
  };
  /// Rows of an item.
  struct Rows {
    std::int32_t first = 0;
    std::int32_t last = 0;  // not included
  };
  struct Scratch;

  std::int32_t first_key(std::int32_t position) const;
  void cut(const Item& whole, std::int64_t keys, std::int64_t target_cost);
  AttentionState split_state(const Split& split, std::int32_t segment, std::int32_t rows);
  void gather_queries(const Item& item, const AttentionLayer& layer, float* queries) const;
  Rows rows_in(const Item& item, std::int32_t segment, const StepInput& step) const;
  void attend_segment(const Item& item, std::int32_t segment, const StepInput& step,
                      const AttentionLayer& layer, Scratch& scratch, const AttentionState& out) const;
  void merge_segments(const Item& item, const Split& split, const StepInput& step,
                      const AttentionLayer& layer);
  void take_up(const Item& item, std::int32_t segment, const StepInput& step, const AttentionLayer& layer,
               const AttentionState& into, const AttentionState& next) const;
  void finish(const Item& item, const AttentionLayer& layer, const AttentionState& state) const;

  const Options options_;
  std::vector<Item> items_;
  std::vector<Split> splits_;
  std::vector<std::atomic<std::int32_t>> parts_done_;  // by split
  AlignedVector<float> split_values_;                  // [state][head_dim]
  std::vector<float> split_rest_;                      // [state][2]: maxima and sums
  std::int32_t used_states_ = 0;
  std::vector<std::unique_ptr<Scratch>> scratch_;  // by thread
  std::size_t memory_bytes_ = 0;
};

}  // namespace mlxd
