#include "backend_suite.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>

#include "base/check.h"
#include "parity/step_runner.h"

namespace mlxd::testing {

std::unique_ptr<Backend> BackendSuite::make(std::int32_t num_pages, const BatchLimits& limits) {
  std::unique_ptr<Backend> backend = GetParam().make(limits);
  CHECK(backend != nullptr);
  const Result<void> resized = resize_pages(*backend, num_pages);
  EXPECT_TRUE(resized.ok()) << resized.error().message;
  return backend;
}

double relative_difference(std::span<const float> actual, std::span<const float> expected) {
  if (actual.size() != expected.size() || expected.empty()) return std::numeric_limits<double>::infinity();
  double largest = 0.0;
  double difference = 0.0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    // Not a number is as far as can be.
    const double apart = std::abs(static_cast<double>(actual[i]) - static_cast<double>(expected[i]));
    if (!(apart <= difference)) difference = std::isnan(apart) ? INFINITY : apart;
    largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
  }
  return difference == 0.0 ? 0.0 : difference / largest;
}

void expect_same_logits(std::span<const float> actual, std::span<const float> expected,
                        const std::string& what) {
  EXPECT_LE(relative_difference(actual, expected), BackendSuite::GetParam().bound) << what;
}

std::vector<TokenId> random_tokens(std::size_t count, std::uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<TokenId> tokens(count);
  for (TokenId& token : tokens) token = static_cast<TokenId>(generator() % kSuiteVocabulary);
  return tokens;
}

std::vector<PageId> pages_from(PageId first, PageId count) {
  std::vector<PageId> pages(count);
  for (PageId i = 0; i < count; ++i) pages[i] = first + i;
  return pages;
}

TinyModel::TinyModel(const SyntheticModelOptions& options, const std::string& config) {
  const Result<void> written = write_synthetic_model(folder_.path(), options);
  EXPECT_TRUE(written.ok());
  const std::filesystem::path file = folder_.path() / "config.json";
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  std::string changed = text.str();
  changed.insert(changed.find('{') + 1, config);
  std::ofstream(file, std::ios::trunc) << changed;
}

ModelFolder TinyModel::open() const {
  Result<ModelFolder> model = ModelFolder::open(folder_.path());
  EXPECT_TRUE(model.ok()) << model.error().message;
  return model.take_value();
}

const TinyModel& suite_model() {
  static const TinyModel model({.vocab_size = kSuiteVocabulary, .context_tokens = kSuiteContextTokens});
  return model;
}

const TinyModel& windowed_suite_model() {
  static const TinyModel model(
      {.vocab_size = kSuiteVocabulary, .context_tokens = kSuiteContextTokens},
      R"("layer_types": ["full_attention", "sliding_attention"], "sliding_window": )" +
          std::to_string(kSuiteWindow) + ",");
  return model;
}

}  // namespace mlxd::testing
