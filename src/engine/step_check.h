// Whether a StepBatch keeps the promises of step_batch.h, for backends to ask before they index anything with
// it: a batch that does not is the engine's fault and must not reach memory. Stateless.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "engine/backend.h"
#include "engine/step_batch.h"

namespace mlxd {

/// What a step may refer to beside what BackendInfo says.
struct StepLimits {
  std::int32_t context_tokens = 0;            // positions [0, context_tokens)
  std::span<const std::int32_t> num_pages{};  // usable, by layer group
  std::size_t previous_samples = 0;           // sample rows of the step submitted last
  std::span<const AdapterId> adapters{};      // attached
};

/// Errors: kInternal, naming what is wrong.
Result<void> check_step(const StepBatch& batch, const BackendInfo& info, const StepLimits& limits);

/// The first position of a window that token `position` attends to; `window_tokens` as in PageGroupInfo.
constexpr std::int32_t first_visible_position(std::int32_t position, std::int32_t window_tokens) {
  return window_tokens > 0 && position >= window_tokens ? position - window_tokens + 1 : 0;
}

}  // namespace mlxd
