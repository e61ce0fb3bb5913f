#include "engine/state_snapshots.h"

#include <algorithm>

namespace mlxd {
namespace {

constexpr std::int64_t kMostDistance = 16;
constexpr std::int64_t kPagesPerSequence = 32;  // of K/V: 1,024 tokens

struct GroupBytes {
  std::int64_t kv = 0;
  std::int64_t states = 0;
};

// Of a page each.
GroupBytes bytes_of(std::span<const PageGroupInfo> groups) {
  GroupBytes bytes;
  for (const PageGroupInfo& group : groups)
    (group.is_state ? bytes.states : bytes.kv) += static_cast<std::int64_t>(group.page_bytes);
  return bytes;
}

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace

std::int32_t snapshot_distance(std::span<const PageGroupInfo> groups) {
  const GroupBytes bytes = bytes_of(groups);
  if (bytes.kv == 0) return kMostDistance;
  return static_cast<std::int32_t>(
      std::clamp(ceil_div(bytes.states, bytes.kv), std::int64_t{1}, kMostDistance));
}

std::int32_t state_pages(std::span<const PageGroupInfo> groups, std::int32_t num_pages,
                         std::int32_t max_running) {
  const GroupBytes bytes = bytes_of(groups);
  const std::int64_t by_tokens = ceil_div(num_pages, kPagesPerSequence);
  const std::int64_t by_bytes =
      num_pages * bytes.kv / (4 * kStatesPerSequence * std::max<std::int64_t>(bytes.states, 1));
  // Each has a page of K/V at least.
  const std::int64_t running =
      std::min({std::max(by_tokens, by_bytes), std::int64_t{max_running}, std::int64_t{num_pages}});
  const std::int64_t snapshots = ceil_div(num_pages, snapshot_distance(groups));
  // And one for a copy that is just being made.
  return static_cast<std::int32_t>(kStatesPerSequence * running + snapshots + 1);
}

std::int32_t SnapshotPlan::last_wanted(std::int32_t boundary) const {
  std::int32_t last = boundary / distance_ * distance_;
  for (const std::int32_t b : also_) {
    if (b <= boundary) last = std::max(last, b);
  }
  return last;
}

}  // namespace mlxd
