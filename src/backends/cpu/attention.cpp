#include "backends/cpu/attention.h"

#include <algorithm>
#include <cstring>

#include "backends/cpu/aligned_vector.h"
#include "backends/cpu/vector.h"
#include "base/check.h"

namespace mlxd {
namespace {

// Query rows of an item: enough to reuse each K/V line well, few enough that their scores stay in cache.
constexpr std::int32_t kItemRows = 64;
// A step's items should outnumber the threads by this much, so that none waits long for another.
constexpr std::int64_t kItemsPerThread = 4;
constexpr std::int64_t kMinSplitStates = 4096;
constexpr std::int64_t kMaxSplitStates = 131'072;

std::int32_t segments_of(std::int32_t keys) { return (keys + kSegmentKeys - 1) / kSegmentKeys; }

/// Rows of a state from `row` on.
AttentionState from_row(const AttentionState& state, std::int32_t row, std::int32_t head_dim) {
  return {state.maximum + row, state.sum + row, state.values + row * head_dim};
}

}  // namespace

struct PagedAttention::Scratch {
  Scratch(std::int32_t rows, std::int32_t head_dim)
      : queries(static_cast<std::size_t>(rows * head_dim)),
        scores(static_cast<std::size_t>(rows * kSegmentKeys)),
        unpacked(static_cast<std::size_t>(kPageTokens * head_dim)),
        key_begins(static_cast<std::size_t>(rows)),
        key_ends(static_cast<std::size_t>(rows)),
        blocks(kSegmentPages + 1),
        memory(2 * static_cast<std::size_t>(rows * (head_dim + 2))),
        max_rows(rows),
        max_head_dim(head_dim) {}

  AttentionState state(int which) {
    float* rest = memory.data() + 2 * max_rows * max_head_dim + which * 2 * max_rows;
    return {rest, rest + max_rows, memory.data() + which * max_rows * max_head_dim};
  }
  std::size_t bytes() const {
    return (queries.size() + scores.size() + unpacked.size() + key_begins.size() + key_ends.size() +
            memory.size()) *
               sizeof(float) +
           blocks.size() * sizeof(blocks[0]);
  }

  AlignedVector<float> queries;
  AlignedVector<float> scores;
  AlignedVector<float> unpacked;
  std::vector<std::int32_t> key_begins, key_ends;
  std::vector<const std::byte*> blocks;
  AlignedVector<float> memory;  // values of two states, then their maxima and sums
  std::int32_t max_rows;
  std::int32_t max_head_dim;
};

PagedAttention::PagedAttention(const Options& options)
    : options_(options),
      parts_done_(static_cast<std::size_t>((options.max_batch_tokens + options.max_batch_sequences) *
                                           options.num_kv_heads)) {
  // One sequence as long as the context can be split, or several shorter ones; what does not fit stays whole.
  const std::int32_t most_keys =
      options.window_tokens > 0
          ? static_cast<std::int32_t>(std::min(std::int64_t{options.context_tokens},
                                               std::int64_t{options.window_tokens} + kSegmentKeys))
          : options.context_tokens;
  const std::int64_t states =
      std::clamp(std::int64_t{segments_of(most_keys)} * options.num_heads, kMinSplitStates, kMaxSplitStates);
  split_values_.resize(static_cast<std::size_t>(states) * static_cast<std::size_t>(options.head_dim));
  split_rest_.resize(2 * static_cast<std::size_t>(states));
  splits_.reserve(parts_done_.size());
  const std::size_t whole_items =
      static_cast<std::size_t>(options.max_batch_tokens) * static_cast<std::size_t>(options.num_heads);
  items_.reserve(whole_items + static_cast<std::size_t>(states));
  const std::int32_t group = options.num_heads;  // at most all query heads share one K/V head
  for (std::int32_t i = 0; i < options.num_threads; ++i) {
    scratch_.push_back(std::make_unique<Scratch>(std::max(kItemRows, group), options.head_dim));
    memory_bytes_ += scratch_.back()->bytes();
  }
  memory_bytes_ +=
      (split_values_.size() + split_rest_.size()) * sizeof(float) + items_.capacity() * sizeof(Item);
}

PagedAttention::~PagedAttention() = default;

/// The first position that a token at `position` attends to.
std::int32_t PagedAttention::first_key(std::int32_t position) const {
  return options_.window_tokens > 0 ? std::max(0, position - options_.window_tokens + 1) : 0;
}

void PagedAttention::plan(const StepInput& step, const AttentionSpec& spec) {
  items_.clear();
  splits_.clear();
  used_states_ = 0;
  const std::int32_t group = spec.num_heads / spec.num_kv_heads;
  const std::int32_t item_tokens = std::max(1, kItemRows / group);

  std::int64_t total_cost = 0;
  std::int64_t num_whole = 0;
  for (const BatchSequence& sequence : step.sequences) {
    const std::int32_t middle = sequence.first_position + sequence.num_tokens / 2;
    const std::int64_t keys = middle + 1 - first_key(middle);
    total_cost += keys * sequence.num_tokens * spec.num_heads;
    num_whole +=
        static_cast<std::int64_t>(sequence.num_tokens + item_tokens - 1) / item_tokens * spec.num_kv_heads;
  }
  const std::int64_t target_cost =
      std::max<std::int64_t>(1, total_cost / (options_.num_threads * kItemsPerThread));
  // With too few items to go round, heads that share K/V part ways: reading a short context twice costs
  // little.
  const bool part_heads = options_.num_threads > 1 && num_whole < 2 * options_.num_threads;

  for (std::size_t s = 0; s < step.sequences.size(); ++s) {
    const BatchSequence& sequence = step.sequences[s];
    for (std::int32_t first = 0; first < sequence.num_tokens; first += item_tokens) {
      Item item;
      item.sequence = static_cast<std::int32_t>(s);
      item.first_token = sequence.first_token + first;
      item.num_tokens = std::min(item_tokens, sequence.num_tokens - first);
      const std::int32_t begin = first_key(sequence.first_position + first);
      const std::int32_t end = sequence.first_position + first + item.num_tokens;
      item.first_segment = begin / kSegmentKeys;
      item.last_segment = segments_of(end);
      for (item.kv_head = 0; item.kv_head < spec.num_kv_heads; ++item.kv_head) {
        const bool apart = part_heads && item.last_segment - item.first_segment == 1;
        item.num_heads = apart ? 1 : group;
        for (item.first_head = 0; item.first_head < group; item.first_head += item.num_heads) {
          cut(item, end - begin, target_cost);
        }
      }
    }
  }
}

/// Adds an item, in parts along the keys if it is too large a piece of the step.
void PagedAttention::cut(const Item& whole, std::int64_t keys, std::int64_t target_cost) {
  const std::int32_t rows = whole.num_tokens * whole.num_heads;
  const std::int32_t segments = whole.last_segment - whole.first_segment;
  const std::int64_t parts = std::min<std::int64_t>(segments, (keys * rows + target_cost - 1) / target_cost);
  const std::int32_t states = segments * rows;
  const auto capacity = static_cast<std::int64_t>(split_rest_.size() / 2);
  if (options_.num_threads == 1 || parts < 2 || used_states_ + states > capacity ||
      splits_.size() == parts_done_.size()) {
    items_.push_back(whole);
    return;
  }
  Item part = whole;
  part.split = static_cast<std::int32_t>(splits_.size());
  parts_done_[splits_.size()].store(0, std::memory_order_relaxed);
  splits_.push_back(
      {used_states_, whole.first_segment, whole.last_segment, static_cast<std::int32_t>(parts)});
  used_states_ += states;
  for (std::int64_t i = 0; i < parts; ++i) {
    part.first_segment = whole.first_segment + static_cast<std::int32_t>(segments * i / parts);
    part.last_segment = whole.first_segment + static_cast<std::int32_t>(segments * (i + 1) / parts);
    items_.push_back(part);
  }
}

AttentionState PagedAttention::split_state(const Split& split, std::int32_t segment, std::int32_t rows) {
  const std::ptrdiff_t first = split.first_state + std::ptrdiff_t{segment - split.first_segment} * rows;
  float* rest = split_rest_.data() + 2 * first;
  return {rest, rest + rows, split_values_.data() + first * options_.head_dim};
}

void PagedAttention::gather_queries(const Item& item, const AttentionLayer& layer, float* queries) const {
  const AttentionSpec& spec = *layer.spec;
  const std::int32_t first_head = item.kv_head * (spec.num_heads / spec.num_kv_heads) + item.first_head;
  const auto count = static_cast<std::size_t>(item.num_heads * spec.head_dim);
  for (std::int32_t t = 0; t < item.num_tokens; ++t) {
    const float* from =
        layer.queries + (item.first_token + t) * layer.query_stride + first_head * spec.head_dim;
    std::memcpy(queries + static_cast<std::size_t>(t) * count, from, count * sizeof(float));
  }
}

/// The rows that see keys of a segment.
PagedAttention::Rows PagedAttention::rows_in(const Item& item, std::int32_t segment,
                                             const StepInput& step) const {
  const auto positions = step.positions.subspan(static_cast<std::size_t>(item.first_token),
                                                static_cast<std::size_t>(item.num_tokens));
  // A sequence's tokens of a step have consecutive positions.
  const std::int32_t begin = segment * kSegmentKeys;
  Rows rows;
  rows.first = std::clamp(begin - positions.front(), 0, item.num_tokens) * item.num_heads;
  rows.last = item.num_tokens * item.num_heads;
  if (options_.window_tokens > 0) {
    const std::int64_t last_position = std::int64_t{begin} + kSegmentKeys + options_.window_tokens - 2;
    const std::int64_t seeing =
        std::clamp<std::int64_t>(last_position + 1 - positions.front(), 0, item.num_tokens);
    rows.last = static_cast<std::int32_t>(seeing) * item.num_heads;
  }
  return rows;
}

/// Attends the item's rows to one segment, those that see some of it.
void PagedAttention::attend_segment(const Item& item, std::int32_t segment, const StepInput& step,
                                    const AttentionLayer& layer, Scratch& scratch,
                                    const AttentionState& out) const {
  const AttentionSpec& spec = *layer.spec;
  const auto group = static_cast<std::size_t>(spec.layer_group);
  const BatchSequence& sequence = step.sequences[static_cast<std::size_t>(item.sequence)];
  const std::int32_t first_of_segment = segment * kSegmentKeys;
  const Rows rows = rows_in(item, segment, step);
  if (rows.first >= rows.last) return;
  for (std::int32_t row = rows.first; row < rows.last; ++row) {
    const std::int32_t position =
        step.positions[static_cast<std::size_t>(item.first_token + row / item.num_heads)];
    const auto index = static_cast<std::size_t>(row);
    scratch.key_begins[index] = std::max(first_key(position) - first_of_segment, 0);
    scratch.key_ends[index] = std::min(position + 1 - first_of_segment, kSegmentKeys);
  }
  const std::int32_t first_page = scratch.key_begins[static_cast<std::size_t>(rows.first)] / kPageTokens;
  const std::int32_t last_page =
      (scratch.key_ends[static_cast<std::size_t>(rows.last - 1)] + kPageTokens - 1) / kPageTokens;
  const PageId* table =
      step.batch->page_ids.data() + sequence.page_tables[group].begin + segment * kSegmentPages;
  const std::int32_t pages_left = sequence.page_tables[group].count - segment * kSegmentPages;
  for (std::int32_t i = first_page; i <= last_page; ++i) {
    const PageId page = table[std::min(i, pages_left - 1)];
    scratch.blocks[static_cast<std::size_t>(i)] =
        options_.pages->block(page, spec.index_in_group, item.kv_head);
  }
  AttentionSegment work;
  work.queries = scratch.queries.data() + rows.first * spec.head_dim;
  work.rows = rows.last - rows.first;
  work.head_dim = spec.head_dim;
  work.key_begins = scratch.key_begins.data() + rows.first;
  work.key_ends = scratch.key_ends.data() + rows.first;
  work.format = options_.pages->layout().format;
  work.blocks = scratch.blocks.data();
  work.scores = scratch.scores.data();
  work.softcap = spec.softcap;
  work.unpacked = scratch.unpacked.data();
  options_.kernels->attend(work, from_row(out, rows.first, spec.head_dim));
}

void PagedAttention::run(std::int32_t index, const StepInput& step, const AttentionLayer& layer,
                         std::int32_t thread) {
  const Item& item = items_[static_cast<std::size_t>(index)];
  Scratch& scratch = *scratch_[static_cast<std::size_t>(thread)];
  const std::int32_t rows = item.num_tokens * item.num_heads;
  gather_queries(item, layer, scratch.queries.data());

  if (item.split >= 0) {
    const Split& split = splits_[static_cast<std::size_t>(item.split)];
    for (std::int32_t segment = item.first_segment; segment < item.last_segment; ++segment) {
      attend_segment(item, segment, step, layer, scratch, split_state(split, segment, rows));
    }
    std::atomic<std::int32_t>& done = parts_done_[static_cast<std::size_t>(item.split)];
    if (done.fetch_add(1, std::memory_order_acq_rel) + 1 < split.num_parts) return;
    done.store(0, std::memory_order_relaxed);  // for the next layer
    merge_segments(item, split, step, layer);
    return;
  }
  const AttentionState state = scratch.state(0);
  const AttentionState next = scratch.state(1);
  attend_segment(item, item.first_segment, step, layer, scratch, state);
  for (std::int32_t segment = item.first_segment + 1; segment < item.last_segment; ++segment) {
    attend_segment(item, segment, step, layer, scratch, next);
    take_up(item, segment, step, layer, state, next);
  }
  finish(item, layer, state);
}

void PagedAttention::merge_segments(const Item& item, const Split& split, const StepInput& step,
                                    const AttentionLayer& layer) {
  const std::int32_t rows = item.num_tokens * item.num_heads;
  const AttentionState state = split_state(split, split.first_segment, rows);
  for (std::int32_t segment = split.first_segment + 1; segment < split.last_segment; ++segment) {
    take_up(item, segment, step, layer, state, split_state(split, segment, rows));
  }
  finish(item, layer, state);
}

/// Joins a segment's state to that of all before it, for the rows that see keys of the segment. A row whose
/// first keys these are just takes it.
void PagedAttention::take_up(const Item& item, std::int32_t segment, const StepInput& step,
                             const AttentionLayer& layer, const AttentionState& into,
                             const AttentionState& next) const {
  const std::int32_t head_dim = layer.spec->head_dim;
  const Rows rows = rows_in(item, segment, step);
  const std::int32_t begun = std::clamp(rows_in(item, segment - 1, step).last, rows.first, rows.last);
  if (begun > rows.first) {
    options_.kernels->merge(from_row(into, rows.first, head_dim), from_row(next, rows.first, head_dim),
                            begun - rows.first, head_dim);
  }
  if (begun == rows.last) return;
  const auto count = static_cast<std::size_t>(rows.last - begun);
  const AttentionState to = from_row(into, begun, head_dim);
  const AttentionState from = from_row(next, begun, head_dim);
  std::memcpy(to.maximum, from.maximum, count * sizeof(float));
  std::memcpy(to.sum, from.sum, count * sizeof(float));
  std::memcpy(to.values, from.values, count * static_cast<std::size_t>(head_dim) * sizeof(float));
}

void PagedAttention::finish(const Item& item, const AttentionLayer& layer,
                            const AttentionState& state) const {
  const AttentionSpec& spec = *layer.spec;
  const std::int32_t first_head = item.kv_head * (spec.num_heads / spec.num_kv_heads) + item.first_head;
  const std::int32_t rows = item.num_tokens * item.num_heads;
  for (std::int32_t row = 0; row < rows; ++row) {
    const std::int32_t token = item.first_token + row / item.num_heads;
    const std::int32_t head = first_head + row % item.num_heads;
    float* out = layer.out + (static_cast<std::ptrdiff_t>(token) * spec.num_heads + head) * spec.head_dim;
    if (layer.sinks != nullptr) {
      const auto score = ScalarVector::broadcast(layer.sinks[head] - state.maximum[row]);
      state.sum[row] += exp<ScalarVector>(score).lane[0];
    }
    options_.kernels->finish(state, row, out, spec.head_dim);
  }
}

}  // namespace mlxd
