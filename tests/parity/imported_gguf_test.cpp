// A real GGUF with a mixture of types, gemma-3-270m in Q4_K_M, imported: its tokens and likeliest tokens
// against llama.cpp's, its logits against mlx-lm's of the imported folder in single precision
// (gguf_logits.safetensors, see README.md). Needs the file: MLXD_TEST_GGUF names it, otherwise these tests
// are skipped.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "expectations.h"
#include "model/json.h"
#include "model/testing/synthetic_model.h"
#include "step_runner.h"
#include "text/tokenizer.h"
#include "workbench/import_gguf.h"

namespace mlxd::testing {
namespace {

namespace json = boost::json;

class ImportedGguf : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* file = std::getenv("MLXD_TEST_GGUF");
    if (file == nullptr || *file == '\0') GTEST_SKIP() << "MLXD_TEST_GGUF does not name gemma-3-270m's GGUF";
    ImportOptions options;
    options.name = "gemma";
    options.models_folder = folder_.path();
    Result<ImportReport> report = import_gguf(file, options);
    ASSERT_TRUE(report.ok()) << report.error().message;
    report_ = report.take_value();
  }

  std::unique_ptr<CpuBackend> load(const CpuOptions& options) const {
    const Result<ModelFolder> model = ModelFolder::open(report_.folder);
    if (!model.ok()) {
      ADD_FAILURE() << model.error().message;
      return nullptr;
    }
    Result<std::unique_ptr<CpuBackend>> backend = CpuBackend::load(*model, options);
    if (!backend.ok()) {
      ADD_FAILURE() << backend.error().message;
      return nullptr;
    }
    EXPECT_TRUE(resize_pages(**backend, kPages).ok());
    return backend.take_value();
  }

  // Calls use(position, logits) for each position of the text.
  template <typename Use>
  void run_text(const CpuOptions& options, const Use& use) const {
    const auto backend = load(options);
    ASSERT_NE(backend, nullptr);
    ScriptedSequence sequence{expected_.get<TokenId>("tokens"), {}};
    for (PageId i = 0; i < kPages; ++i) sequence.pages.push_back(i);
    const auto vocabulary = static_cast<std::size_t>(backend->info().vocab_size);
    const auto total = static_cast<std::int32_t>(sequence.tokens.size());
    ASSERT_GE(total, 500);
    while (sequence.done < total) {
      const std::int32_t first = sequence.done;
      const StepPart part{&sequence, std::min(kChunk, total - first), WhichLogits::kAll};
      const Result<StepResult> step = run_step(*backend, std::span(&part, 1));
      ASSERT_TRUE(step.ok()) << step.error().message;
      for (std::int32_t i = first; i < sequence.done; ++i) {
        use(static_cast<std::size_t>(i),
            std::span(step->logits).subspan(static_cast<std::size_t>(i - first) * vocabulary, vocabulary));
      }
    }
  }

  static constexpr PageId kPages = 19;  // of 32 positions each
  static constexpr std::int32_t kChunk = 50;
  TemporaryFolder folder_;
  ImportReport report_;
  Expectations expected_{"gguf_logits.safetensors"};
};

std::int32_t likeliest(std::span<const float> logits) {
  return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

double log_probability(std::span<const float> logits, TokenId token) {
  const double largest = static_cast<double>(logits[static_cast<std::size_t>(likeliest(logits))]);
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return static_cast<double>(logits[static_cast<std::size_t>(token)]) - largest - std::log(sum);
}

double perplexity_of(const std::vector<float>& log_probabilities) {
  double sum = 0.0;
  for (const float value : log_probabilities) sum += static_cast<double>(value);
  return std::exp(-sum / static_cast<double>(log_probabilities.size()));
}

TEST_F(ImportedGguf, KeepsEveryTensorAsWellAsItsTypeCanBeKept) {
  for (const ImportedTensor& tensor : report_.tensors) {
    SCOPED_TRACE(tensor.gguf_name);
    if (tensor.type == "Q4_K") {
      EXPECT_TRUE(tensor.keeps_codes);
      EXPECT_LE(tensor.largest_error, 0x1p-9);
    } else if (tensor.type == "Q6_K") {
      EXPECT_LE(tensor.largest_error, 0x1p-9 + 2.0 / 254.0);
    } else {
      EXPECT_EQ(tensor.largest_error, 0.0);
    }
  }
  for (const std::string& line : describe_tensors(report_.tensors)) std::printf("%s\n", line.c_str());
}

TEST_F(ImportedGguf, TokenizesAsLlamaCpp) {
  const Result<Tokenizer> tokenizer = Tokenizer::open(report_.folder);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  const Result<json::object> file =
      read_json_object(std::string(MLXD_SOURCE_DIR) + "/tests/parity/gguf_texts.json", 1U << 20U);
  ASSERT_TRUE(file.ok()) << file.error().message;
  const json::array& texts = file->at("texts").as_array();
  // Index, number of tokens, tokens; for each text.
  const std::vector<TokenId> flat = expected_.get<TokenId>("texts");
  std::size_t at = 0;
  std::size_t count = 0;
  for (; at < flat.size(); ++count) {
    const auto index = static_cast<std::size_t>(flat[at]);
    const auto size = static_cast<std::ptrdiff_t>(flat[at + 1]);
    const auto begin = flat.begin() + static_cast<std::ptrdiff_t>(at) + 2;
    const std::string text(texts.at(index).as_string());
    const Result<std::vector<TokenId>> tokens = tokenizer->encode(text, true);
    ASSERT_TRUE(tokens.ok()) << tokens.error().message;
    EXPECT_EQ(*tokens, std::vector<TokenId>(begin, begin + size)) << text;
    at += 2 + static_cast<std::size_t>(size);
  }
  EXPECT_EQ(count, texts.size());
}

TEST_F(ImportedGguf, TheReferenceComputesWhatMlxLmAndLlamaCppCompute) {
  const auto tokens = expected_.get<TokenId>("tokens");
  const auto llama_tops = expected_.get<std::int32_t>("llama.top_ids");
  const auto mlx_tops = expected_.get<std::int32_t>("mlx.top_ids");
  const auto mlx_logits = expected_.get<float>("mlx.top_logits");
  const auto rows = expected_.get<std::int32_t>("mlx.rows");
  const auto strided = expected_.get<float>("mlx.strided_logits");
  ASSERT_EQ(llama_tops.size(), tokens.size());
  const std::size_t num_tops = mlx_tops.size() / tokens.size();
  const std::size_t row_size = strided.size() / rows.size();
  double difference = 0.0;
  double largest = 0.0;
  const auto compare = [&](float actual, float wanted) {
    const double distance = std::abs(static_cast<double>(actual) - static_cast<double>(wanted));
    difference = std::isfinite(actual) ? std::max(difference, distance) : INFINITY;
    largest = std::max(largest, std::abs(static_cast<double>(wanted)));
  };
  std::size_t mlx_agreements = 0;
  std::size_t llama_agreements = 0;
  double loss = 0.0;
  run_text({.precision = CpuPrecision::kReference}, [&](std::size_t position, std::span<const float> logits) {
    for (std::size_t i = position * num_tops; i < (position + 1) * num_tops; ++i) {
      compare(logits[static_cast<std::size_t>(mlx_tops[i])], mlx_logits[i]);
    }
    const auto row = std::find(rows.begin(), rows.end(), static_cast<std::int32_t>(position));
    if (row != rows.end()) {
      const std::size_t stride = (logits.size() + row_size - 1) / row_size;
      const auto first = static_cast<std::size_t>(row - rows.begin()) * row_size;
      for (std::size_t i = 0; i < row_size; ++i) compare(logits[i * stride], strided[first + i]);
    }
    mlx_agreements += likeliest(logits) == mlx_tops[position * num_tops] ? 1U : 0U;
    llama_agreements += likeliest(logits) == llama_tops[position] ? 1U : 0U;
    if (position + 1 < tokens.size()) loss -= log_probability(logits, tokens[position + 1]);
  });
  const auto count = static_cast<double>(tokens.size());
  std::printf(
      "reference: largest difference to mlx-lm %.1e of the largest logit %.1f; the same top token as mlx-lm "
      "at "
      "%.2f %%, as llama.cpp at %.2f %% of %.0f positions; perplexity %.3f (llama.cpp %.3f, mlx-lm %.3f)\n",
      difference / largest, largest, 100.0 * static_cast<double>(mlx_agreements) / count,
      100.0 * static_cast<double>(llama_agreements) / count, count, std::exp(loss / (count - 1)),
      perplexity_of(expected_.get<float>("llama.log_probability")),
      perplexity_of(expected_.get<float>("mlx.log_probability")));
  EXPECT_LE(difference / largest, 1e-3);
  EXPECT_GE(static_cast<double>(mlx_agreements), 0.995 * count);
  EXPECT_GE(static_cast<double>(llama_agreements), 0.95 * count);
}

TEST_F(ImportedGguf, TheFastPathAgreesWithLlamaCpp) {
  const auto tokens = expected_.get<TokenId>("tokens");
  const auto llama_tops = expected_.get<std::int32_t>("llama.top_ids");
  const auto mlx_tops = expected_.get<std::int32_t>("mlx.top_ids");
  const std::size_t num_tops = mlx_tops.size() / tokens.size();
  for (const std::int32_t bits : {8, 16}) {
    std::size_t mlx_agreements = 0;
    std::size_t llama_agreements = 0;
    double loss = 0.0;
    run_text({.activation_bits = bits}, [&](std::size_t position, std::span<const float> logits) {
      mlx_agreements += likeliest(logits) == mlx_tops[position * num_tops] ? 1U : 0U;
      llama_agreements += likeliest(logits) == llama_tops[position] ? 1U : 0U;
      if (position + 1 < tokens.size()) loss -= log_probability(logits, tokens[position + 1]);
    });
    const auto count = static_cast<double>(tokens.size());
    std::printf(
        "fast, activations of %d bits: the same top token as mlx-lm at %.2f %%, as llama.cpp at %.2f %%; "
        "perplexity %.3f\n",
        bits, 100.0 * static_cast<double>(mlx_agreements) / count,
        100.0 * static_cast<double>(llama_agreements) / count, std::exp(loss / (count - 1)));
    EXPECT_GE(static_cast<double>(llama_agreements), 0.95 * count) << bits;
  }
}

}  // namespace
}  // namespace mlxd::testing
