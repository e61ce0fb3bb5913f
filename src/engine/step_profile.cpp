#include "engine/step_profile.h"

namespace mlxd {

std::string_view to_string(StepStage stage) {
  switch (stage) {
    case StepStage::kSchedule:
      return "schedule";
    case StepStage::kPrepare:
      return "prepare";
    case StepStage::kNorm:
      return "norm+quantize";
    case StepStage::kQkv:
      return "qkv+rope+write";
    case StepStage::kAttention:
      return "attention";
    case StepStage::kOutput:
      return "o_proj";
    case StepStage::kGateUp:
      return "gate*up";
    case StepStage::kDown:
      return "down";
    case StepStage::kVocabulary:
      return "vocabulary";
    case StepStage::kSampling:
      return "sampling";
    case StepStage::kPublish:
      return "publish";
    case StepStage::kWait:
      return "wait";
  }
  return "";
}

StageWork& StageWork::operator+=(const StageWork& other) {
  bytes += other.bytes;
  int8_operations += other.int8_operations;
  fp32_operations += other.fp32_operations;
  return *this;
}

double StepTotals::seconds() const {
  double sum = 0.0;
  for (const StageTotals& stage : stages) sum += stage.seconds;
  return sum;
}

StepTotals& StepTotals::operator+=(const StepTotals& other) {
  steps += other.steps;
  tokens += other.tokens;
  num_threads = other.num_threads;
  for (std::size_t i = 0; i < kNumStepStages; ++i) {
    stages[i].seconds += other.stages[i].seconds;
    stages[i].work += other.stages[i].work;
  }
  return *this;
}

StepTotals& StepTotals::operator-=(const StepTotals& other) {
  steps -= other.steps;
  tokens -= other.tokens;
  for (std::size_t i = 0; i < kNumStepStages; ++i) {
    stages[i].seconds -= other.stages[i].seconds;
    const StageWork& work = other.stages[i].work;
    stages[i].work += {-work.bytes, -work.int8_operations, -work.fp32_operations};
  }
  return *this;
}

StepTotals StepProfile::totals() const {
  const auto get = [](const auto& value) { return value.load(std::memory_order_relaxed); };
  StepTotals totals;
  totals.steps = get(steps_);
  totals.tokens = get(tokens_);
  totals.num_threads = static_cast<std::int32_t>(threads_.size());
  for (std::size_t i = 0; i < kNumStepStages; ++i) {
    std::int64_t together = 0;
    for (const Thread& thread : threads_) together += get(thread.nanoseconds[i]);
    totals.stages[i].seconds = (static_cast<double>(get(serial_[i])) +
                                static_cast<double>(together) / static_cast<double>(threads_.size())) *
                               1e-9;
    totals.stages[i].work = {get(work_[i].bytes), get(work_[i].int8_operations),
                             get(work_[i].fp32_operations)};
  }
  return totals;
}

}  // namespace mlxd
