// Sliding windows against mlx-lm's logits (window_logits.safetensors, see README.md), and long contexts: what
// a step takes stays the same however much lies before it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>

#include "backends/cpu/cpu_backend.h"
#include "expectations.h"
#include "model/testing/synthetic_model.h"
#include "step_runner.h"

namespace mlxd::testing {
namespace {

using Logits = std::vector<float>;

std::unique_ptr<CpuBackend> load(const SyntheticModelOptions& shape, const CpuOptions& options) {
  const TemporaryFolder folder;
  EXPECT_TRUE(write_synthetic_model(folder.path(), shape).ok());
  Result<ModelFolder> model = ModelFolder::open(folder.path());
  if (!model.ok()) {
    ADD_FAILURE() << model.error().message;
    return nullptr;
  }
  Result<std::unique_ptr<CpuBackend>> backend = CpuBackend::load(*model, options);
  if (!backend.ok()) {
    ADD_FAILURE() << backend.error().message;
    return nullptr;
  }
  return backend.take_value();
}

/// The models of make_window_logits.py.
SyntheticModelOptions mlx_lm_model(const std::string& model_type) {
  SyntheticModelOptions options;
  options.seed = 6;
  options.num_layers = 4;
  options.context_tokens = 1024;
  options.bits = 0;
  options.dtype = DType::kF32;
  options.model_type = model_type;
  options.sliding_window = 50;
  if (model_type == "llama") {
    options.sliding_window = 300;
    options.layer_types = {"sliding_attention", "full_attention", "sliding_attention", "full_attention"};
  }
  return options;
}

/// √(Σ (a − b)² / Σ b²) over some rows of `a`, all of `b`.
double relative_error(const Logits& a, const Logits& b, const std::vector<std::int32_t>& rows) {
  const std::size_t size = b.size() / rows.size();
  double error = 0;
  double total = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    const float other = a[static_cast<std::size_t>(rows[i / size]) * size + i % size];
    error += std::pow(static_cast<double>(other) - static_cast<double>(b[i]), 2);
    total += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(error / total);
}

TEST(SlidingWindow, ComputesWhatMlxLmComputes) {
  const Expectations expectations("window_logits.safetensors");
  const auto tokens = expectations.get<std::int32_t>("tokens");
  const auto rows = expectations.get<std::int32_t>("rows");
  for (const std::string model_type : {"llama", "mistral"}) {
    SCOPED_TRACE(model_type);
    const auto expected = expectations.get<float>(model_type + ".logits");
    ASSERT_FALSE(expected.empty());
    const auto error_of = [&](const SyntheticModelOptions& shape, const CpuOptions& options,
                              std::int32_t chunk) {
      const auto backend = load(shape, options);
      EXPECT_TRUE(resize_pages(*backend, 19).ok());
      ScriptedSequence sequence{tokens, {}};
      for (PageId page = 0; page < 19; ++page) sequence.pages.push_back(page);
      const Result<Logits> logits = run_alone(*backend, sequence, chunk, WhichLogits::kAll);
      EXPECT_TRUE(logits.ok()) << logits.error().message;
      return logits.ok() ? relative_error(*logits, expected, rows) : 1.0;
    };
    const SyntheticModelOptions shape = mlx_lm_model(model_type);
    EXPECT_LT(error_of(shape, {.precision = CpuPrecision::kReference, .num_threads = 2}, 100), 1e-5);
    EXPECT_LT(error_of(shape, {.num_threads = 2}, 100), 2e-3);
    EXPECT_LT(error_of(shape, {.num_threads = 1, .kv_format = KvFormat::kFloat32}, 7), 2e-3);
    // It would show if no window were heeded.
    SyntheticModelOptions full = shape;
    full.sliding_window = 1024;
    EXPECT_GT(error_of(full, {.num_threads = 2}, 100), 2e-2);
  }
}

constexpr std::int32_t kLongTokens = 32'768;
constexpr std::int32_t kLongChunk = 256;

SyntheticModelOptions long_model() {
  SyntheticModelOptions options;
  options.hidden_size = 32;
  options.num_layers = 2;
  options.num_heads = 2;
  options.num_kv_heads = 1;
  options.intermediate_size = 64;
  options.context_tokens = kLongTokens;
  return options;
}

std::vector<TokenId> long_tokens() {
  std::vector<TokenId> tokens;
  for (std::int32_t i = 0; i < kLongTokens; ++i) tokens.push_back((i * 131 + i / 97) % 320);
  return tokens;
}

/// Resident memory of this process, where the system tells it.
std::ptrdiff_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::ptrdiff_t total = 0;
  std::ptrdiff_t resident = 0;
  file >> total >> resident;
  return resident * 4096;
}

/// Runs the long tokens by chunks, and the last few one by one. `before_step(sequence, count)` sees to pages.
/// Checks that neither what the backend says of its memory nor what the process has grows on the way.
template <typename BeforeStep>
Logits run_long(CpuBackend& backend, ScriptedSequence sequence, BeforeStep&& before_step) {
  constexpr std::int32_t kSingles = 40;
  sequence.tokens = long_tokens();
  std::ptrdiff_t resident = 0;
  const BackendMemory memory = backend.memory();
  Logits logits;
  while (sequence.done < kLongTokens) {
    const bool single =
        sequence.done >= kLongTokens - kLongChunk && sequence.done % kLongChunk >= kLongChunk - kSingles;
    const std::int32_t count = single ? 1 : std::min(kLongChunk, kLongTokens - kSingles - sequence.done);
    before_step(sequence, count);
    const StepPart part{&sequence, count, WhichLogits::kLast};
    const Result<StepResult> result = run_step(backend, std::span(&part, 1));
    if (!result.ok()) {
      ADD_FAILURE() << result.error().message;
      return {};
    }
    logits.insert(logits.end(), result->logits.begin(), result->logits.end());
    if (sequence.done == 8 * kLongChunk) resident = resident_bytes();
  }
  EXPECT_EQ(backend.memory().page_bytes, memory.page_bytes);
  EXPECT_EQ(backend.memory().scratch_bytes, memory.scratch_bytes);
#if !defined(MLXD_SANITIZED)
  EXPECT_LT(resident_bytes() - resident, std::ptrdiff_t{1} << 20);
#endif
  return logits;
}

TEST(LongContext, PagesBehindAWindowServeAgain) {
  constexpr std::int32_t kWindow = 500;
  constexpr std::int32_t kPages = (kWindow + kLongChunk) / kPageTokens + 2;
  SyntheticModelOptions shape = long_model();
  shape.model_type = "mistral";
  shape.sliding_window = kWindow;
  const auto keeping = load(shape, {.num_threads = 2, .touch_pages = true});
  ASSERT_TRUE(resize_pages(*keeping, kLongTokens / kPageTokens).ok());
  ScriptedSequence all;
  for (PageId page = 0; page < kLongTokens / kPageTokens; ++page) all.pages.push_back(page);
  const Logits expected = run_long(*keeping, all, [](ScriptedSequence&, std::int32_t) {});

  const auto backend = load(shape, {.num_threads = 2, .touch_pages = true});
  ASSERT_TRUE(resize_pages(*backend, kPages).ok());
  std::vector<PageId> free_pages;
  for (PageId page = 0; page < kPages; ++page) free_pages.push_back(page);
  const Logits logits = run_long(*backend, {}, [&](ScriptedSequence& sequence, std::int32_t count) {
    const std::int32_t behind = std::max(0, sequence.done - kWindow + 1) / kPageTokens;
    for (std::int32_t i = behind - 1; i >= 0 && sequence.pages[static_cast<std::size_t>(i)] != kNoPage; --i) {
      free_pages.push_back(sequence.pages[static_cast<std::size_t>(i)]);
      sequence.pages[static_cast<std::size_t>(i)] = kNoPage;
    }
    while (static_cast<std::int32_t>(sequence.pages.size()) * kPageTokens < sequence.done + count) {
      ASSERT_FALSE(free_pages.empty());
      sequence.pages.push_back(free_pages.back());
      free_pages.pop_back();
    }
  });
  ASSERT_FALSE(logits.empty());
  EXPECT_TRUE(logits == expected);
}

TEST(LongContext, FullAttentionTakesNoMoreMemoryAStep) {
  const auto backend =
      load(long_model(), {.num_threads = 2, .kv_format = KvFormat::kInt8, .touch_pages = true});
  ASSERT_TRUE(resize_pages(*backend, kLongTokens / kPageTokens).ok());
  ScriptedSequence sequence;
  for (PageId page = 0; page < kLongTokens / kPageTokens; ++page) sequence.pages.push_back(page);
  EXPECT_FALSE(run_long(*backend, sequence, [](ScriptedSequence&, std::int32_t) {}).empty());
}

}  // namespace
}  // namespace mlxd::testing
