// Recurrent layers' states in pages (PageGroupInfo::is_state): how many pages there are of them, and at which
// positions a sequence leaves one behind for others to go on from. Positions are named by boundaries: b is
// the end of page b - 1, the position b * kPageTokens. Pure decisions.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/backend.h"

namespace mlxd {

/// Pages of a state group that a running sequence is sure of: the state that it goes on from, and the one in
/// which its step ends.
inline constexpr std::int32_t kStatesPerSequence = 2;

/// Pages between the states that any sequence leaves behind: as many as make them take no more memory than
/// the K/V beside them, and at most 16 (a state of 75 MB is soon written, 512 tokens are not soon computed).
std::int32_t snapshot_distance(std::span<const PageGroupInfo> groups);

/// Pages of each state group beside `num_pages` of K/V: two for each sequence that may run, which is one for
/// each 1,024 tokens of K/V, or as many as take a quarter of the memory of K/V, at most max_running; and one
/// for every snapshot_distance pages of K/V.
std::int32_t state_pages(std::span<const PageGroupInfo> groups, std::int32_t num_pages,
                         std::int32_t max_running);

/// Where one sequence leaves states behind.
class SnapshotPlan {
 public:
  SnapshotPlan() = default;
  /// `distance` as above. The sequence begins with `num_tokens` known tokens, of which the prefix tree knows
  /// `num_known_pages` whole pages: others that begin so will part there, too.
  SnapshotPlan(std::int32_t distance, std::int32_t num_tokens, std::int32_t num_known_pages)
      : distance_(distance),
        // The next turn of a conversation begins with all of it; the same once more lacks its last token.
        also_{num_tokens / kPageTokens, (num_tokens - 1) / kPageTokens, num_known_pages} {}

  bool wants(std::int32_t boundary) const {
    if (boundary < 1) return false;
    for (const std::int32_t b : also_) {
      if (b == boundary) return true;
    }
    return boundary % distance_ == 0;
  }
  /// The last boundary up to this one that is wanted; 0: none.
  std::int32_t last_wanted(std::int32_t boundary) const;
  /// Someone waits to share the sequence's beginning up to here. The last such wish counts.
  void add_wish(std::int32_t boundary) { also_[3] = boundary; }

 private:
  std::int32_t distance_ = 1;
  std::array<std::int32_t, 4> also_{};
};

}  // namespace mlxd
