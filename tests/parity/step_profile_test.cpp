// The CPU backend's profile: every stage of a step is told of, with the work that follows from the model's
// shape and the batch; and looking changes nothing.
#include <gtest/gtest.h>

#include "backends/cpu/cpu_backend.h"
#include "model/testing/synthetic_model.h"
#include "step_runner.h"

namespace mlxd::testing {
namespace {

constexpr double kLayers = 2, kHidden = 64, kQueries = 64, kKeys = 32, kIntermediate = 128, kVocabulary = 320;
constexpr double kWeightBytes = 0.5 + 4.0 / 32.0;  // 4 bits, and a scale and a bias in bf16 for 32
constexpr std::int32_t kPrompt = 40;

std::vector<float> run(std::int32_t num_threads, StepProfile* profile) {
  TemporaryFolder folder;
  EXPECT_TRUE(write_synthetic_model(folder.path(), {}).ok());
  Result<ModelFolder> model = ModelFolder::open(folder.path());
  if (!model.ok()) return {};
  Result<std::unique_ptr<CpuBackend>> loaded =
      CpuBackend::load(*model, {.num_threads = num_threads, .profile = profile});
  if (!loaded.ok() || !resize_pages(**loaded, 4).ok()) return {};
  ScriptedSequence sequence;
  for (TokenId token = 0; token < kPrompt + 1; ++token) sequence.tokens.push_back(token * 7 % 256);
  sequence.pages = {2, 0};
  std::vector<float> logits;
  for (const std::int32_t num_tokens : {kPrompt, 1}) {
    const StepPart part{&sequence, num_tokens};
    Result<StepResult> result = run_step(**loaded, {&part, 1});
    if (!result.ok()) return {};
    logits.insert(logits.end(), result->logits.begin(), result->logits.end());
  }
  return logits;
}

TEST(CpuBackendProfile, DerivesEveryStagesWorkFromTheModelAndTheBatch) {
  StepProfile profile;
  ASSERT_EQ(run(2, &profile).size(), 2 * static_cast<std::size_t>(kVocabulary));
  const StepTotals totals = profile.totals();
  EXPECT_EQ(totals.num_threads, 2);
  constexpr double kTokens = kPrompt + 1;
  const auto check = [&](StepStage stage, double bytes, double int8_operations, double fp32_operations) {
    const StageTotals& found = totals.of(stage);
    EXPECT_DOUBLE_EQ(found.work.bytes, bytes) << to_string(stage);
    EXPECT_DOUBLE_EQ(found.work.int8_operations, int8_operations) << to_string(stage);
    EXPECT_DOUBLE_EQ(found.work.fp32_operations, fp32_operations) << to_string(stage);
    EXPECT_GT(found.seconds, 0.0) << to_string(stage);
  };
  const double qkv = kLayers * kHidden * (kQueries + 2 * kKeys);
  const double output = kLayers * kQueries * kHidden;
  const double gate_up = kLayers * kHidden * 2 * kIntermediate;
  const double down = kLayers * kIntermediate * kHidden;
  const double vocabulary = kHidden * kVocabulary;
  const double key_bytes = kLayers * 2 * kKeys * 2;  // K and V in fp16
  // Weights once a step; a multiply and an add each; q, k, v and the vocabulary with rows in two halves.
  check(StepStage::kQkv, 2 * qkv * kWeightBytes + kTokens * key_bytes, 2 * 2 * qkv * kTokens, 0.0);
  check(StepStage::kOutput, 2 * output * kWeightBytes, 2 * output * kTokens, 0.0);
  check(StepStage::kGateUp, 2 * gate_up * kWeightBytes, 2 * gate_up * kTokens, 0.0);
  check(StepStage::kDown, 2 * down * kWeightBytes, 2 * down * kTokens, 0.0);
  check(StepStage::kVocabulary, 2 * (vocabulary * kWeightBytes + 4 * kVocabulary), 2 * 2 * vocabulary * 2,
        0.0);
  // Scores and values of each query head with each position that it sees.
  const double pairs = kTokens * (kTokens + 1) / 2;
  check(StepStage::kAttention, key_bytes * (kPrompt + kTokens), 0.0, kLayers * 4 * kQueries * pairs);
  EXPECT_GT(totals.of(StepStage::kNorm).seconds, 0.0);
  EXPECT_GT(totals.of(StepStage::kPrepare).seconds, 0.0);
  EXPECT_GT(totals.of(StepStage::kWait).seconds, 0.0);
}

TEST(CpuBackendProfile, ChangesNoBit) {
  for (const std::int32_t threads : {1, 2}) {
    StepProfile profile;
    const std::vector<float> plain = run(threads, nullptr);
    ASSERT_FALSE(plain.empty());
    EXPECT_EQ(run(threads, &profile), plain);
  }
}

}  // namespace
}  // namespace mlxd::testing
