// A profile of steps set beside the machine's limits: how long each stage takes and how long it would have
// to. Values and pure functions.
#pragma once

#include <string_view>
#include <vector>

#include "backends/cpu/machine_limits.h"
#include "engine/step_profile.h"

namespace mlxd {

enum class StageLimit {
  kNone,    // nothing that has to be done
  kMemory,  // reading weights and K/V
  kInt8,    // arithmetic, of which int8 takes the most
  kFp32,
};
/// "", "memory", "int8", "fp32".
std::string_view to_string(StageLimit limit);

struct StageReport {
  StepStage stage{};
  double ms = 0.0;     // of a step, on average
  double share = 0.0;  // of the step's time
  StageWork work;      // of a step
  StageLimit limit = StageLimit::kNone;
  double limit_ms = 0.0;  // the time that the limit leaves no less of
  double of_limit() const { return ms > 0.0 ? limit_ms / ms : 0.0; }
};

struct StepReport {
  std::uint64_t steps = 0;
  double tokens = 0.0;  // of a step, on average
  double ms = 0.0;
  double limit_ms = 0.0;            // of all stages together
  std::vector<StageReport> stages;  // all, in order
  double of_limit() const { return ms > 0.0 ? limit_ms / ms : 0.0; }
};

/// The limit of a stage is the larger of its bytes at the read test's rate and its operations at the best
/// multiply rates that the machine has for their type, int8 being the matrix unit's where there is one. A
/// model that fits the caches can therefore be above it.
StepReport report_steps(const StepTotals& totals, const MachineLimits& limits);

}  // namespace mlxd
