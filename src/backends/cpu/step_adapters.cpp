#include "backends/cpu/step_adapters.h"

#include <array>

#include "model/adapter.h"

namespace mlxd {
namespace {

constexpr std::int32_t kTilePlaces = 16;  // rows that one piece of a product down takes
constexpr std::int32_t kChunkRanks = 8;   // inner values of a piece, where there are few rows

}  // namespace

StepAdapters::StepAdapters(std::int32_t max_rows, std::int32_t max_inner, std::int32_t num_threads,
                           const VectorKernels& kernels)
    : kernels_(kernels), max_rows_(max_rows), max_inner_(max_inner) {
  inputs_.resize(static_cast<std::size_t>(num_threads));
}

void StepAdapters::make_room() {
  const bool empty = attached_.ids().empty();
  const std::size_t rows = empty ? 0 : static_cast<std::size_t>(max_rows_);
  most_ranks_ = attached_.most_ranks();
  for (std::vector<float>& lane : values_)
    lane = std::vector<float>(rows * static_cast<std::size_t>(most_ranks_));
  for (std::vector<float>& inputs : inputs_) {
    inputs = std::vector<float>(static_cast<std::size_t>(kTilePlaces) *
                                static_cast<std::size_t>(attached_.most_features()));
  }
  inner_ = std::vector<float>(rows * static_cast<std::size_t>(max_inner_));
  of_row_.reserve(rows);
  selected_.reserve(rows);
  rows_.reserve(rows);
  groups_.reserve(attached_.ids().size());
  tiles_.reserve(rows);
  of_row_.clear();
  groups_.clear();
}

std::size_t StepAdapters::memory_bytes() const {
  std::size_t floats = inner_.size();
  for (const std::vector<float>& lane : values_) floats += lane.size();
  for (const std::vector<float>& inputs : inputs_) floats += inputs.size();
  return attached_.memory_bytes() + floats * sizeof(float);
}

void StepAdapters::begin(const StepInput& step) {
  of_row_.clear();
  groups_.clear();
  const bool any = std::any_of(step.sequences.begin(), step.sequences.end(),
                               [](const BatchSequence& each) { return each.adapter != kNoAdapter; });
  if (!any) return;
  for (const BatchSequence& sequence : step.sequences)
    of_row_.insert(of_row_.end(), static_cast<std::size_t>(sequence.num_tokens),
                   attached_.find(sequence.adapter));
}

void StepAdapters::select_first(std::int32_t num_rows) {
  if (of_row_.empty()) return;
  selected_.assign(of_row_.begin(), of_row_.begin() + num_rows);
  regroup();
}

void StepAdapters::select(std::span<const std::int32_t> rows) {
  if (of_row_.empty()) return;
  selected_.clear();
  for (const std::int32_t row : rows) selected_.push_back(of_row(row));
  regroup();
}

void StepAdapters::regroup() {
  rows_.clear();
  groups_.clear();
  tiles_.clear();
  for (const AdapterId id : attached_.ids()) {
    const CpuAdapter* const adapter = attached_.find(id);
    const auto first = static_cast<std::int32_t>(rows_.size());
    for (std::size_t row = 0; row < selected_.size(); ++row) {
      if (selected_[row] == adapter) rows_.push_back(static_cast<std::int32_t>(row));
    }
    const auto last = static_cast<std::int32_t>(rows_.size());
    if (first == last) continue;
    for (std::int32_t place = first; place < last; place += kTilePlaces)
      tiles_.push_back({groups_.size(), place, std::min(kTilePlaces, last - place)});
    groups_.push_back({adapter, first, last - first});
  }
}

bool StepAdapters::adapts(const void* product) const {
  return std::any_of(groups_.begin(), groups_.end(),
                     [product](const Group& group) { return group.adapter->find(product) != nullptr; });
}

/// Into how many pieces the inner values of a tile are cut: with few rows there is too little else to share.
std::int32_t StepAdapters::num_chunks(const void* product, std::int32_t num_threads) const {
  if (std::ssize(tiles_) >= 2 * num_threads) return 1;
  std::int32_t most = 0;
  for (const Group& group : groups_) {
    if (const LowRankProduct* const low = group.adapter->find(product)) most = std::max(most, low->num_ranks);
  }
  return std::max(1, (most + kChunkRanks - 1) / kChunkRanks);
}

void StepAdapters::multiply_down(const LowRankProduct& low, const Tile& tile, std::int32_t chunk,
                                 std::int32_t chunks, int lane, const float* inputs) {
  const std::int32_t first = chunks == 1 ? 0 : chunk * kChunkRanks;
  const std::int32_t last = chunks == 1 ? low.num_ranks : std::min(first + kChunkRanks, low.num_ranks);
  if (first >= last) return;
  kernels_.product(inputs, low.in_features, tile.num_places,
                   low.down.data() + std::ptrdiff_t{first} * low.in_features, low.in_features, last - first,
                   values_[lane].data() + std::ptrdiff_t{tile.first_place} * most_ranks_ + first,
                   most_ranks_);
}

/// Outputs [first_output, first_output + num_outputs) of one row, as far as the part goes, whose inner values
/// these are.
void StepAdapters::add_part(const LowRankPart& part, const float* inner, std::int32_t first_output,
                            std::int32_t num_outputs, float* y) const {
  const std::int32_t first = std::max(first_output, part.first_output);
  const std::int32_t last = std::min(first_output + num_outputs, part.first_output + part.num_outputs);
  if (first >= last) return;
  const std::int32_t skipped = first - part.first_output;
  float* const out = y + (first - first_output);
  if (!part.gain.empty()) kernels_.normalize(out, part.gain.data() + skipped, 1.0F, out, last - first);
  kernels_.add_low_rank(inner, part.rank, part.up.data() + skipped, part.num_outputs, out, last - first);
  if (!part.offset.empty()) kernels_.add_to(part.offset.data() + skipped, out, last - first);
}

void StepAdapters::add_up(const void* product, int lane, std::int32_t first_output, std::int32_t num_outputs,
                          float* y, std::ptrdiff_t stride) const {
  for (const Group& group : groups_) {
    const LowRankProduct* const low = group.adapter->find(product);
    if (low == nullptr) continue;
    for (std::int32_t place = group.first_place; place < group.first_place + group.num_places; ++place) {
      float* const out = y + rows_[static_cast<std::size_t>(place)] * stride;
      for (const LowRankPart& part : low->parts)
        add_part(part, values(lane, place) + part.first_rank, first_output, num_outputs, out);
    }
  }
}

void StepAdapters::add_up_row(const void* product, int lane, std::int32_t row, float* y) const {
  for (const Group& group : groups_) {
    if (group.adapter != selected_[static_cast<std::size_t>(row)]) continue;
    const LowRankProduct* const low = group.adapter->find(product);
    if (low == nullptr) return;
    const auto first = rows_.begin() + group.first_place;
    const auto place = std::lower_bound(first, first + group.num_places, row) - rows_.begin();
    for (const LowRankPart& part : low->parts) {
      add_part(part, values(lane, static_cast<std::int32_t>(place)) + part.first_rank, part.first_output,
               part.num_outputs, y + part.first_output);
    }
  }
}

const LowRankProduct* StepAdapters::find(std::int32_t row, const void* product) const {
  if (of_row_.empty() || of_row(row) == nullptr) return nullptr;
  return of_row(row)->find(product);
}

void StepAdapters::adapt_part(std::int32_t row, const void* product, std::int32_t index, const float* x,
                              std::int32_t first_output, std::int32_t num_outputs, float* y) const {
  const LowRankProduct* const low = find(row, product);
  if (low == nullptr) return;
  const LowRankPart& part = low->parts[static_cast<std::size_t>(index)];
  std::array<float, kMaxAdapterRank> inner;
  kernels_.product(x, low->in_features, 1,
                   low->down.data() + std::ptrdiff_t{part.first_rank} * low->in_features, low->in_features,
                   part.rank, inner.data(), part.rank);
  add_part(part, inner.data(), part.first_output + first_output, num_outputs, y);
}

bool StepAdapters::take_backwards(std::int32_t row, const void* product, std::int32_t first_output,
                                  std::int32_t num_outputs, float* x, float* inner) const {
  const LowRankProduct* const low = find(row, product);
  if (low == nullptr) return false;
  const LowRankPart& part = low->parts.front();
  kernels_.product(part.up.data() + first_output, part.num_outputs, part.rank, x, num_outputs, 1, inner, 1);
  if (!part.gain.empty()) kernels_.normalize(x, part.gain.data() + first_output, 1.0F, x, num_outputs);
  return true;
}

void StepAdapters::add_backwards(std::int32_t row, const void* product, const float* inner, float* y) const {
  const LowRankProduct* const low = find(row, product);
  kernels_.add_low_rank(inner, low->parts.front().rank, low->down.data(), low->in_features, y,
                        low->in_features);
}

void StepAdapters::adapt_embedding(std::int32_t row, const void* product, TokenId token, float* x) const {
  const LowRankProduct* const low = find(row, product);
  if (low == nullptr) return;
  const LowRankPart& part = low->parts.front();
  const auto index = static_cast<std::size_t>(token);
  if (!part.gain.empty()) kernels_.scale(x, part.gain[index], x, low->in_features);
  for (std::int32_t k = 0; k < part.rank; ++k) {
    kernels_.add_scaled(
        low->down.data() + std::ptrdiff_t{k} * low->in_features,
        part.up[static_cast<std::size_t>(k) * static_cast<std::size_t>(part.num_outputs) + index], x,
        low->in_features);
  }
}

}  // namespace mlxd
