// GGUF import against ggml's own arithmetic: the values of every type's blocks as the PyPI package gguf
// computes them (gguf_blocks.safetensors), and tiny random files of every architecture, one for each file of
// gguf_models/ (README.md), whose logits after import must be llama.cpp's.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "expectations.h"
#include "model/json.h"
#include "model/testing/gguf_builder.h"
#include "model/testing/rule_model.h"
#include "model/testing/synthetic_model.h"
#include "step_runner.h"
#include "workbench/gguf_affine.h"
#include "workbench/gguf_blocks.h"
#include "workbench/import_gguf.h"

namespace mlxd::testing {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using Logits = std::vector<float>;

TEST(GgufBlocks, HaveTheValuesThatGgmlGivesThem) {
  const Expectations expected("gguf_blocks.safetensors");
  for (const GgufType type : {GgufType::kQ4_0, GgufType::kQ4_1, GgufType::kQ5_0, GgufType::kQ5_1,
                              GgufType::kQ8_0, GgufType::kQ2_K, GgufType::kQ3_K, GgufType::kQ4_K,
                              GgufType::kQ5_K, GgufType::kQ6_K, GgufType::kIQ4_NL, GgufType::kIQ4_XS}) {
    const std::string name = gguf_type_name(static_cast<std::uint32_t>(type));
    SCOPED_TRACE(name);
    const std::vector<std::byte> blocks = expected.get<std::byte>(name + ".blocks");
    const std::vector<float> values = expected.get<float>(name + ".values");
    const GgufBlock block = block_of(type);
    ASSERT_EQ(values.size(), 512U);
    ASSERT_EQ(blocks.size(),
              512U / static_cast<std::size_t>(block.elements) * static_cast<std::size_t>(block.bytes));
    std::vector<float> actual;
    std::vector<GgufGroup> groups(static_cast<std::size_t>(block.elements) / kGgufGroupElements);
    for (std::size_t at = 0; at < blocks.size(); at += static_cast<std::size_t>(block.bytes)) {
      read_groups(type, blocks.data() + at, groups);
      for (const GgufGroup& group : groups) {
        const auto part = values_of(group);
        actual.insert(actual.end(), part.begin(), part.end());
        EXPECT_TRUE(has_groups_of_16(type) || group.scales[0] == group.scales[1]);
        EXPECT_LT(*std::max_element(group.codes.begin(), group.codes.end()), 1 << code_bits(type));
      }
    }
    EXPECT_EQ(actual, values);
    // The tests' own rule, which other tests rely on.
    EXPECT_EQ(dequantize_blocks(type, blocks), values);
  }
}

fs::path case_folder() { return fs::path(MLXD_SOURCE_DIR) / "tests/parity/gguf_models"; }

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(case_folder())) {
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

template <typename T>
std::vector<T> numbers_of(const json::array& array) {
  std::vector<T> numbers;
  for (const json::value& value : array) numbers.push_back(value.to_number<T>());
  return numbers;
}

void add_array(GgufBuilder& builder, std::string_view key, const json::array& array) {
  if (array.front().is_string()) {
    std::vector<std::string> strings;
    for (const json::value& value : array) strings.push_back(std::string(value.as_string()));
    builder.add_strings(key, strings);
  } else if (array.front().is_double()) {
    builder.add_f32s(key, numbers_of<float>(array));
  } else {
    builder.add_i32s(key, numbers_of<std::int32_t>(array));
  }
}

GgufBuilder build(const json::object& metadata, const std::vector<TensorRule>& rules) {
  GgufBuilder builder;
  for (const auto& [key, value] : metadata) {
    if (value.is_string()) {
      builder.add_string(std::string(key), std::string(value.as_string()));
    } else if (value.is_double()) {
      builder.add_f32(std::string(key), value.to_number<float>());
    } else if (value.is_int64()) {
      builder.add_u32(std::string(key), value.to_number<std::uint32_t>());
    } else {
      add_array(builder, std::string(key), value.as_array());
    }
  }
  for (const TensorRule& rule : rules) {
    builder.add_tensor(rule.name, static_cast<std::uint32_t>(GgufType::kF32), rule.shape, make_data(rule));
  }
  return builder;
}

class GgufModels : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    Result<json::object> file = read_json_object(case_folder() / (GetParam() + ".json"), 1U << 20U);
    ASSERT_TRUE(file.ok()) << file.error().message;
    tokens_ = numbers_of<TokenId>(file->at("tokens").as_array());
    rows_ = numbers_of<std::size_t>(file->at("rows").as_array());
    for (const json::value& row : file->at("logits").as_array()) {
      const Logits part = numbers_of<float>(row.as_array());
      expected_.insert(expected_.end(), part.begin(), part.end());
    }
    const fs::path source = folder_.path() / "source.gguf";
    build(file->at("metadata").as_object(), read_rules(file->at("tensors").as_object())).write(source);
    ImportOptions options;
    options.name = GetParam();
    options.models_folder = folder_.path();
    const Result<ImportReport> report = import_gguf(source, options);
    ASSERT_TRUE(report.ok()) << report.error().message;
    model_ = report->folder;
  }

  /// Largest difference to llama.cpp's logits over the largest of these.
  double error_of(const CpuOptions& options) const {
    const Result<ModelFolder> model = ModelFolder::open(model_);
    if (!model.ok()) {
      ADD_FAILURE() << model.error().message;
      return NAN;
    }
    const Result<std::unique_ptr<CpuBackend>> backend = CpuBackend::load(*model, options);
    if (!backend.ok()) {
      ADD_FAILURE() << backend.error().message;
      return NAN;
    }
    EXPECT_TRUE(resize_pages(**backend, 3).ok());
    ScriptedSequence sequence{tokens_, {0, 1, 2}};
    const Result<Logits> logits = run_alone(**backend, sequence, 80, WhichLogits::kAll);
    if (!logits.ok() || logits->size() * rows_.size() != expected_.size() * tokens_.size()) {
      ADD_FAILURE() << (logits.ok() ? "another number of logits" : logits.error().message);
      return NAN;
    }
    const std::size_t vocabulary = expected_.size() / rows_.size();
    double error = 0.0;
    double largest = 0.0;
    for (std::size_t i = 0; i < expected_.size(); ++i) {
      const double wanted = static_cast<double>(expected_[i]);
      const double actual =
          static_cast<double>((*logits)[rows_[i / vocabulary] * vocabulary + i % vocabulary]);
      largest = std::max(largest, std::abs(wanted));
      error = std::isfinite(actual) ? std::max(error, std::abs(actual - wanted)) : INFINITY;
    }
    return error / largest;
  }

  TemporaryFolder folder_;
  fs::path model_;
  std::vector<TokenId> tokens_;
  std::vector<std::size_t> rows_;
  Logits expected_;
};

TEST_P(GgufModels, ComputeAfterImportWhatLlamaCppComputes) {
  const double reference = error_of({.precision = CpuPrecision::kReference, .num_threads = 2});
  EXPECT_LT(reference, 1e-3);
  EXPECT_LT(error_of({.num_threads = 2}), 0.1);
  RecordProperty("reference_error", std::to_string(reference));
  std::printf("%s: largest difference %.1e of the largest logit\n", GetParam().c_str(), reference);
}

INSTANTIATE_TEST_SUITE_P(All, GgufModels, ::testing::ValuesIn(case_names()),
                         [](const auto& each) { return each.param; });

}  // namespace
}  // namespace mlxd::testing
