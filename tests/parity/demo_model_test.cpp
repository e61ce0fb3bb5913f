// The demo model against mlx-lm's single-precision logits (demo_logits.safetensors, see README.md) and the
// fast path against the reference. Needs the model: MLXD_TEST_MODEL names its folder, otherwise these tests
// are skipped.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>

#include "backends/cpu/cpu_backend.h"
#include "expectations.h"
#include "step_runner.h"

namespace mlxd::testing {
namespace {

// Sanitized builds look for wrong memory, not for wrong numbers, and are some thirty times slower.
#if defined(MLXD_SANITIZED)
constexpr std::int32_t kTextShare = 10;
#else
constexpr std::int32_t kTextShare = 1;
#endif

class DemoModel : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("MLXD_TEST_MODEL");
    if (folder == nullptr || *folder == '\0') GTEST_SKIP() << "MLXD_TEST_MODEL does not name the demo model";
    Result<ModelFolder> model = ModelFolder::open(folder);
    ASSERT_TRUE(model.ok()) << model.error().message;
    model_ = model.take_value();
  }

  std::unique_ptr<CpuBackend> load(CpuOptions options) const {
    Result<std::unique_ptr<CpuBackend>> backend = CpuBackend::load(*model_, options);
    if (!backend.ok()) {
      ADD_FAILURE() << backend.error().message;
      return nullptr;
    }
    EXPECT_TRUE(resize_pages(**backend, kPages).ok());
    return backend.take_value();
  }

  static ScriptedSequence sequence_of(const std::vector<std::int32_t>& tokens) {
    ScriptedSequence sequence{tokens, {}};
    for (PageId i = 0; i < kPages; ++i) sequence.pages.push_back(kPages - 1 - i);
    return sequence;
  }

  static constexpr PageId kPages = 72;
  std::optional<ModelFolder> model_;
  Expectations expected_{"demo_logits.safetensors"};
};

TEST_F(DemoModel, TheReferenceComputesWhatMlxLmComputes) {
  const auto reference = load({.precision = CpuPrecision::kReference});
  for (const std::string prompt : {"prompt_5", "prompt_100", "prompt_1000"}) {
    if (kTextShare > 1 && prompt == "prompt_1000") continue;
    ScriptedSequence sequence = sequence_of(expected_.get<std::int32_t>(prompt + ".tokens"));
    const Result<std::vector<float>> logits = run_alone(*reference, sequence, 512, WhichLogits::kLast);
    ASSERT_TRUE(logits.ok()) << logits.error().message;
    const std::vector<std::int32_t> ids = expected_.get<std::int32_t>(prompt + ".top_ids");
    const std::vector<float> top = expected_.get<float>(prompt + ".top_logits");
    const std::vector<float> strided = expected_.get<float>(prompt + ".strided_logits");
    ASSERT_FALSE(ids.empty());
    ASSERT_EQ(ids.size(), top.size());
    const std::size_t stride = ((*logits).size() + strided.size() - 1) / strided.size();
    float difference = 0.0F;
    float largest = 0.0F;
    const auto compare = [&](std::size_t token, float expected) {
      difference = std::max(difference, std::abs((*logits)[token] - expected));
      largest = std::max(largest, std::abs(expected));
    };
    for (std::size_t i = 0; i < ids.size(); ++i) compare(static_cast<std::size_t>(ids[i]), top[i]);
    for (std::size_t i = 0; i < strided.size(); ++i) compare(i * stride, strided[i]);
    std::printf("%s: largest difference %.2e of the largest logit %.2f\n", prompt.c_str(),
                static_cast<double>(difference / largest), static_cast<double>(largest));
    EXPECT_LE(difference / largest, 1e-3F);
    EXPECT_EQ(std::max_element((*logits).begin(), (*logits).end()) - (*logits).begin(), ids[0]);
  }
}

/// What two rows of logits say about each other.
struct Comparison {
  double divergence = 0;  // KL(expected ‖ actual), nat
  bool same_top = false;
  double margin = 0;  // of the expected row's top over its second, nat
  double loss = 0;    // −log p of the text's next token, expected
};

double log_sum_exp(std::span<const float> logits) {
  const double largest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return largest + std::log(sum);
}

Comparison compare(std::span<const float> expected, std::span<const float> actual, std::int32_t next) {
  const double expected_sum = log_sum_exp(expected);
  const double actual_sum = log_sum_exp(actual);
  Comparison comparison;
  float best = -INFINITY;
  float second = -INFINITY;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double log_p = static_cast<double>(expected[i]) - expected_sum;
    comparison.divergence += std::exp(log_p) * (log_p - (static_cast<double>(actual[i]) - actual_sum));
    second = std::max(second, std::min(best, expected[i]));
    best = std::max(best, expected[i]);
  }
  comparison.margin = static_cast<double>(best) - static_cast<double>(second);
  comparison.same_top = std::max_element(expected.begin(), expected.end()) - expected.begin() ==
                        std::max_element(actual.begin(), actual.end()) - actual.begin();
  comparison.loss = expected_sum - static_cast<double>(expected[static_cast<std::size_t>(next)]);
  return comparison;
}

TEST_F(DemoModel, TheFastPathStaysCloseToTheReferenceOverAText) {
  constexpr std::int32_t kPositions = 2000 / kTextShare;
  constexpr std::int32_t kChunk = 50;
  const auto fast = load({});
  const auto reference = load({.precision = CpuPrecision::kReference});
  const std::vector<std::int32_t> tokens = expected_.get<std::int32_t>("teacher.tokens");
  const std::vector<std::int32_t> top_ids = expected_.get<std::int32_t>("teacher.top_ids");
  const std::vector<float> margins = expected_.get<float>("teacher.margin");
  const std::vector<float> log_probabilities = expected_.get<float>("teacher.target_log_probability");
  ASSERT_GT(tokens.size(), static_cast<std::size_t>(kPositions));
  ScriptedSequence fast_sequence = sequence_of(tokens);
  ScriptedSequence reference_sequence = sequence_of(tokens);
  const auto vocab = static_cast<std::size_t>(fast->info().vocab_size);

  double divergence = 0;
  double worst = 0;
  double loss = 0;
  int agreements = 0;
  int oracle_agreements = 0;
  double largest_margin = 0;  // of a disagreement
  for (std::int32_t begin = 0; begin < kPositions; begin += kChunk) {
    const StepPart fast_part{&fast_sequence, kChunk, WhichLogits::kAll};
    const StepPart reference_part{&reference_sequence, kChunk, WhichLogits::kAll};
    const Result<StepResult> actual = run_step(*fast, std::span(&fast_part, 1));
    const Result<StepResult> expected = run_step(*reference, std::span(&reference_part, 1));
    ASSERT_TRUE(actual.ok() && expected.ok());
    for (std::size_t i = 0; i < kChunk; ++i) {
      const std::size_t position = static_cast<std::size_t>(begin) + i;
      const std::span<const float> expected_row = std::span((*expected).logits).subspan(i * vocab, vocab);
      const std::span<const float> actual_row = std::span((*actual).logits).subspan(i * vocab, vocab);
      const Comparison row = compare(expected_row, actual_row, tokens[position + 1]);
      divergence += row.divergence;
      worst = std::max(worst, row.divergence);
      loss += row.loss;
      agreements += row.same_top ? 1 : 0;
      if (!row.same_top) largest_margin = std::max(largest_margin, row.margin);
      // The reference is itself held to mlx-lm at every position.
      EXPECT_NEAR(-row.loss, log_probabilities[position], 0.02) << position;
      EXPECT_NEAR(row.margin, margins[position], 0.02) << position;
      const auto top = std::max_element(expected_row.begin(), expected_row.end()) - expected_row.begin();
      oracle_agreements += top == top_ids[2 * position] ? 1 : 0;
    }
  }
  std::printf("reference: perplexity %.4f, top token of mlx-lm at %.2f %%\n", std::exp(loss / kPositions),
              100.0 * oracle_agreements / kPositions);
  std::printf(
      "fast: mean KL %.6f nat (worst %.4f), top token of the reference at %.2f %%, margin of disagreements "
      "up to "
      "%.3f nat\n",
      divergence / kPositions, worst, 100.0 * agreements / kPositions, largest_margin);
  EXPECT_LE(divergence / kPositions, 0.005);
  EXPECT_GE(agreements, kPositions * 97 / 100);
  EXPECT_LT(largest_margin, 0.2);
  EXPECT_GE(oracle_agreements, kPositions * 998 / 1000);
}

TEST_F(DemoModel, NarrowPagesStayCloseToFp32PagesOverAText) {
  constexpr std::int32_t kPositions = 600 / kTextShare;
  constexpr std::int32_t kChunk = 60;
  const std::vector<std::int32_t> tokens = expected_.get<std::int32_t>("teacher.tokens");
  ASSERT_GT(tokens.size(), static_cast<std::size_t>(kPositions));
  // Through the reference, what the format alone costs; through the fast path, all that its users lose.
  struct Candidate {
    CpuPrecision precision;
    KvFormat format;
    double most_divergence;   // mean, nat
    double least_agreements;  // share of the positions
    std::unique_ptr<CpuBackend> backend{};
    ScriptedSequence sequence{};
    double divergence = 0;
    double worst = 0;
    int agreements = 0;
  };
  Candidate candidates[] = {{CpuPrecision::kReference, KvFormat::kFloat16, 2e-6, 0.983},
                            {CpuPrecision::kReference, KvFormat::kBFloat16, 1e-4, 0.975},
                            {CpuPrecision::kReference, KvFormat::kInt8, 1.5e-3, 0.95},
                            {CpuPrecision::kFast, KvFormat::kBFloat16, 2.5e-3, 0.95},
                            {CpuPrecision::kFast, KvFormat::kInt8, 4e-3, 0.94}};
  const auto reference = load({.precision = CpuPrecision::kReference});
  ScriptedSequence reference_sequence = sequence_of(tokens);
  const auto vocab = static_cast<std::size_t>(reference->info().vocab_size);
  for (Candidate& candidate : candidates) {
    candidate.backend = load({.precision = candidate.precision, .kv_format = candidate.format});
    candidate.sequence = sequence_of(tokens);
  }
  for (std::int32_t begin = 0; begin < kPositions; begin += kChunk) {
    const StepPart reference_part{&reference_sequence, kChunk, WhichLogits::kAll};
    const Result<StepResult> expected = run_step(*reference, std::span(&reference_part, 1));
    ASSERT_TRUE(expected.ok());
    for (Candidate& candidate : candidates) {
      const StepPart part{&candidate.sequence, kChunk, WhichLogits::kAll};
      const Result<StepResult> actual = run_step(*candidate.backend, std::span(&part, 1));
      ASSERT_TRUE(actual.ok());
      for (std::size_t i = 0; i < kChunk; ++i) {
        const Comparison row = compare(std::span((*expected).logits).subspan(i * vocab, vocab),
                                       std::span((*actual).logits).subspan(i * vocab, vocab),
                                       tokens[static_cast<std::size_t>(begin) + i + 1]);
        candidate.divergence += row.divergence / kPositions;
        candidate.worst = std::max(candidate.worst, row.divergence);
        candidate.agreements += row.same_top ? 1 : 0;
      }
    }
  }
  for (const Candidate& candidate : candidates) {
    const std::string name = std::string(to_string(candidate.format)) + " pages, " +
                             (candidate.precision == CpuPrecision::kFast ? "fast path" : "reference");
    std::printf("%s: mean KL %.7f nat (worst %.5f), top token at %.1f %%\n", name.c_str(),
                candidate.divergence, candidate.worst, 100.0 * candidate.agreements / kPositions);
    EXPECT_LE(candidate.divergence, candidate.most_divergence) << name;
    EXPECT_GE(candidate.agreements, kPositions * candidate.least_agreements) << name;
  }
}

TEST_F(DemoModel, EveryInstructionSetGivesTheSameBits) {
  std::vector<std::int32_t> tokens = expected_.get<std::int32_t>("prompt_1000.tokens");
  tokens.resize(kTextShare > 1 ? 60 : 300);
  for (const KvFormat format : {KvFormat::kFloat16, KvFormat::kBFloat16, KvFormat::kInt8}) {
    std::vector<float> first;
    for (const Isa isa : available_isas()) {
      if (isa == Isa::kScalar) continue;  // minutes; the synthetic models hold it to the same bits
      const auto backend = load({.isa = isa, .kv_format = format});
      ScriptedSequence sequence = sequence_of(tokens);
      const Result<std::vector<float>> logits = run_alone(*backend, sequence, 128, WhichLogits::kLast);
      ASSERT_TRUE(logits.ok());
      if (first.empty()) first = *logits;
      EXPECT_EQ(std::memcmp((*logits).data(), first.data(), first.size() * sizeof(float)), 0)
          << to_string(isa) << ", " << to_string(format);
    }
  }
}

TEST_F(DemoModel, SaysThatTheCapitalOfFranceIsParis) {
  const auto backend = load({});
  ScriptedSequence sequence = sequence_of(expected_.get<std::int32_t>("prompt_5.tokens"));
  const StepPart part{&sequence, 5, WhichLogits::kLast};
  const Result<StepResult> result = run_step(*backend, std::span(&part, 1), {});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->samples[0].token, expected_.get<std::int32_t>("prompt_5.top_ids").at(0));
}

}  // namespace
}  // namespace mlxd::testing
