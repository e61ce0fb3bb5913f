// How much K/V memory a model gets and the context that follows from it. A pure decision.
//
// Unless told otherwise a model gets room for 16,384 tokens: sixteen conversations of a thousand tokens, or
// two of eight thousand; more if a longer context is asked for, less if its max_running sequences cannot use
// it, and never more than a quarter of the memory that is free once the weights are loaded (three quarters if
// it takes as much to hold the context asked for). A backend that maps memory lazily, as the CPU's does, pays
// only for pages in use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "base/result.h"

namespace mlxd {

struct KvWish {
  std::int32_t model_context_tokens = 0;
  std::int32_t context_tokens = 0;  // asked for; 0: the model's own, cut to what the pages hold
  std::size_t kv_bytes = 0;         // asked for; 0: decided here
  std::int32_t max_running = 0;
};

/// Bytes that so many pages take, over all layer groups; rises with the number.
using KvCost = std::function<std::size_t(std::int32_t num_pages)>;

/// Tokens that a model gets K/V for unless told otherwise.
inline constexpr std::int64_t kUsualKvTokens = 16384;

/// K/V of a model that shares memory with others.
struct KvBounds {
  std::int32_t context_tokens = 0;  // of the longest conversation
  std::size_t least_bytes = 0;      // holds one as long as that
  std::size_t usual_bytes = 0;      // kUsualKvTokens, if that is more and of use
  std::size_t most_bytes = 0;       // max_running of them
};
/// The context asked for; without one, the model's own, cut to kUsualKvTokens or what `share_bytes` hold, if
/// that is more; and to what `available_bytes` hold. Depends on nothing else, so that a model's context is
/// the same whatever is loaded beside it.
KvBounds bound_kv(const KvWish& wish, const KvCost& cost, std::size_t share_bytes,
                  std::size_t available_bytes);

struct KvPlan {
  std::int32_t num_pages = 0;
  std::int32_t context_tokens = 0;  // at most num_pages * kPageTokens
  std::size_t kv_bytes = 0;         // that the pages were planned for
};

/// Errors: kInvalidArgument (a context longer than the model's), kOutOfMemory with needed and available
/// memory.
Result<KvPlan> plan_kv(const KvWish& wish, const KvCost& cost, std::size_t available_bytes);

}  // namespace mlxd
