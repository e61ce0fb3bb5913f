#include "workbench/step_report.h"

#include <algorithm>

namespace mlxd {
namespace {

double seconds_at(double amount, double giga_per_s) {
  return giga_per_s > 0.0 ? amount / giga_per_s / 1e9 : 0.0;
}

void set_limit(const MachineLimits& limits, StageReport& stage) {
  const double memory = seconds_at(stage.work.bytes, limits.read_gb_per_s);
  const double int8 =
      seconds_at(stage.work.int8_operations, std::max(limits.rates.int8, limits.rates.int8_matrix));
  const double fp32 = seconds_at(stage.work.fp32_operations, limits.rates.fp32);
  stage.limit_ms = std::max(memory, int8 + fp32) * 1e3;
  if (stage.limit_ms <= 0.0) return;
  if (memory >= int8 + fp32) {
    stage.limit = StageLimit::kMemory;
  } else {
    stage.limit = int8 >= fp32 ? StageLimit::kInt8 : StageLimit::kFp32;
  }
}

}  // namespace

std::string_view to_string(StageLimit limit) {
  switch (limit) {
    case StageLimit::kNone:
      return "";
    case StageLimit::kMemory:
      return "memory";
    case StageLimit::kInt8:
      return "int8";
    case StageLimit::kFp32:
      return "fp32";
  }
  return "";
}

StepReport report_steps(const StepTotals& totals, const MachineLimits& limits) {
  StepReport report;
  report.steps = totals.steps;
  if (totals.steps == 0) return report;
  const auto steps = static_cast<double>(totals.steps);
  report.tokens = static_cast<double>(totals.tokens) / steps;
  report.ms = totals.seconds() / steps * 1e3;
  for (std::size_t i = 0; i < kNumStepStages; ++i) {
    const StageTotals& from = totals.stages[i];
    StageReport& stage = report.stages.emplace_back();
    stage.stage = static_cast<StepStage>(i);
    stage.ms = from.seconds / steps * 1e3;
    stage.share = report.ms > 0.0 ? stage.ms / report.ms : 0.0;
    stage.work = {from.work.bytes / steps, from.work.int8_operations / steps,
                  from.work.fp32_operations / steps};
    set_limit(limits, stage);
    report.limit_ms += stage.limit_ms;
  }
  return report;
}

}  // namespace mlxd
