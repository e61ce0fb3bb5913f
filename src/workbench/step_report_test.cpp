#include "workbench/step_report.h"

#include <gtest/gtest.h>

namespace mlxd {
namespace {

MachineLimits machine() {
  MachineLimits limits;
  limits.read_gb_per_s = 10.0;
  limits.rates = {.int8 = 1000.0, .bf16 = 0.0, .fp32 = 100.0, .int8_matrix = 0.0, .bf16_matrix = 0.0};
  return limits;
}

StepTotals totals_of(StageWork work, double seconds) {
  StepTotals totals;
  totals.steps = 2;
  totals.tokens = 8;
  StageTotals& stage = totals.stages[static_cast<std::size_t>(StepStage::kDown)];
  stage.seconds = seconds;
  stage.work = work;
  totals.stages[static_cast<std::size_t>(StepStage::kWait)].seconds = seconds;
  return totals;
}

TEST(StepReport, TakesTheLimitThatIsReachedFirst) {
  const auto check = [](StageWork work, StageLimit limit, double limit_ms) {
    const StepReport report = report_steps(totals_of(work, 0.02), machine());
    const StageReport& stage = report.stages[static_cast<std::size_t>(StepStage::kDown)];
    EXPECT_EQ(stage.limit, limit);
    EXPECT_NEAR(stage.limit_ms, limit_ms, 1e-9);
    EXPECT_NEAR(stage.of_limit(), limit_ms / 10.0, 1e-9);
    EXPECT_NEAR(report.limit_ms, limit_ms, 1e-9);
  };
  // Work of two steps, which took 10 ms each.
  check({.bytes = 2e8}, StageLimit::kMemory, 10.0);
  check({.bytes = 2e7, .int8_operations = 4e9}, StageLimit::kInt8, 2.0);
  check({.bytes = 2e7, .int8_operations = 1e9, .fp32_operations = 4e8}, StageLimit::kFp32, 2.5);
  check({}, StageLimit::kNone, 0.0);
}

TEST(StepReport, GivesInt8ToTheFasterUnit) {
  MachineLimits limits = machine();
  limits.rates.int8_matrix = 8000.0;
  const StepReport report = report_steps(totals_of({.int8_operations = 16e9}, 1.0), limits);
  EXPECT_NEAR(report.limit_ms, 1.0, 1e-9);
}

TEST(StepReport, AveragesOverSteps) {
  const StepReport report = report_steps(totals_of({.bytes = 2e8}, 0.02), machine());
  EXPECT_EQ(report.steps, 2U);
  EXPECT_DOUBLE_EQ(report.tokens, 4.0);
  EXPECT_NEAR(report.ms, 20.0, 1e-9);
  ASSERT_EQ(report.stages.size(), kNumStepStages);
  EXPECT_NEAR(report.stages.back().share, 0.5, 1e-9);
  EXPECT_NEAR(report.of_limit(), 0.5, 1e-9);
  EXPECT_TRUE(report_steps({}, machine()).stages.empty());
}

}  // namespace
}  // namespace mlxd
