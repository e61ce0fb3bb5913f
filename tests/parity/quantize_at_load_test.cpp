// Models quantized when they are loaded, and raw checkpoints that are converted: both are the model that mlxd
// convert makes of the same source, bit for bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstring>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "model/json.h"
#include "model/testing/rule_model.h"
#include "model/testing/synthetic_model.h"
#include "step_runner.h"
#include "workbench/convert_model.h"

namespace mlxd::testing {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using Logits = std::vector<float>;

constexpr Quantization kFour{QuantizationMode::kAffine, 4, 32};
constexpr Quantization kEight{QuantizationMode::kAffine, 8, 64};
constexpr Quantization kMxfp4{QuantizationMode::kMxfp4, 4, 32};
constexpr Quantization kNvfp4{QuantizationMode::kNvfp4, 4, 16};

json::object read_case(const std::string& name) {
  const fs::path file = fs::path(MLXD_SOURCE_DIR) / "tests/parity/architectures" / (name + ".json");
  Result<json::object> read = read_json_object(file, 1U << 20U);
  EXPECT_TRUE(read.ok()) << read.error().message;
  return read.ok() ? read.take_value() : json::object{};
}

void write_case(const fs::path& folder, const std::string& name) {
  const json::object test = read_case(name);
  const Result<void> written =
      write_rule_model(folder, test.at("config"), read_rules(test.at("tensors").as_object()));
  ASSERT_TRUE(written.ok()) << written.error().message;
}

Result<Logits> run(const fs::path& folder, const std::optional<Quantization>& at_load,
                   CpuPrecision precision) {
  const ModelFolder model = TRY(ModelFolder::open(folder, at_load));
  const std::unique_ptr<CpuBackend> backend =
      TRY(CpuBackend::load(model, {.precision = precision, .num_threads = 2}));
  TRY(resize_pages(*backend, 3));
  ScriptedSequence sequence{{}, {0, 1, 2}};
  for (TokenId i = 0; i < 40; ++i) sequence.tokens.push_back((i * 29 + 7) % model.spec().vocab_size);
  return run_alone(*backend, sequence, 17, WhichLogits::kAll);
}

/// `source` quantized at load (or as it is) and `converted`.
void expect_same_bits(const fs::path& source, const std::optional<Quantization>& at_load,
                      const fs::path& converted) {
  for (const CpuPrecision precision : {CpuPrecision::kReference, CpuPrecision::kFast}) {
    const Result<Logits> first = run(source, at_load, precision);
    const Result<Logits> second = run(converted, {}, precision);
    ASSERT_TRUE(first.ok()) << first.error().message;
    ASSERT_TRUE(second.ok()) << second.error().message;
    ASSERT_EQ(first->size(), second->size());
    EXPECT_EQ(std::memcmp(first->data(), second->data(), first->size() * sizeof(float)), 0);
  }
}

struct Case {
  std::string model;
  std::string form_name;
  Quantization form;
};

class QuantizeAtLoad : public ::testing::TestWithParam<Case> {};

TEST_P(QuantizeAtLoad, GivesTheBitsOfTheConvertedModel) {
  TemporaryFolder root;
  write_case(root.path() / "source", GetParam().model);
  const auto report =
      convert_model(root.path() / "source", {.out = root.path() / "converted", .form = GetParam().form});
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_GT(report->quantized, 0);
  expect_same_bits(root.path() / "source", GetParam().form, root.path() / "converted");
}

INSTANTIATE_TEST_SUITE_P(
    All, QuantizeAtLoad,
    ::testing::Values(Case{"llama", "4", kFour}, Case{"llama", "8", kEight}, Case{"llama", "mxfp4", kMxfp4},
                      Case{"llama", "nvfp4", kNvfp4}, Case{"llama_tied_biased", "4", kFour},
                      Case{"phi3", "4", kFour}, Case{"granite", "4", kFour}, Case{"qwen3_moe", "4", kFour},
                      Case{"mixtral", "8", kEight}, Case{"deepseek", "4", kFour}, Case{"gpt_oss", "4", kFour},
                      Case{"granitemoe_raw", "8", kEight}, Case{"mistral3_raw", "mxfp4", kMxfp4},
                      Case{"qwen3_next", "4", kFour}, Case{"lfm2_moe", "4", kFour},
                      Case{"qwen3_5_raw", "8", kEight}, Case{"minimax_fp8", "8", kEight}),
    [](const auto& each) { return each.param.model + "_" + each.param.form_name; });

TEST(QuantizeAtLoadErrors, NameWhatIsInTheWay) {
  const auto refuses = [](const std::string& model, const Quantization& form, const std::string& expected) {
    TemporaryFolder root;
    write_case(root.path() / "source", model);
    const Result<ModelFolder> opened = ModelFolder::open(root.path() / "source", form);
    ASSERT_FALSE(opened.ok()) << model;
    EXPECT_EQ(opened.error().kind, ErrorKind::kUnsupported);
    EXPECT_NE(opened.error().message.find(expected), std::string::npos) << opened.error().message;
  };
  refuses("llama_quantized", kFour, "model.embed_tokens is quantized already, with 4 bits in groups of 64");
  refuses("llama_awq", kFour, "q_proj is quantized already, with 4 bits in groups of 64");
  refuses("deepseek_v3", kFour, "which layers of deepseek_v3 models to quantize is not known");
  refuses("mixtral", {QuantizationMode::kAffine, 4, 128},
          "no layer has inputs that divide into groups of 128");
}

TEST(QuantizeAtLoadErrors, LayersOfOtherSizesStayDense) {
  // Hidden 64, intermediate 128: only down_proj has whole groups.
  TemporaryFolder root;
  write_case(root.path() / "source", "llama");
  const Result<ModelFolder> opened =
      ModelFolder::open(root.path() / "source", Quantization{QuantizationMode::kAffine, 4, 128});
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(opened->num_left_dense(), 2 * 6 + 2);
}

class RawConversion : public ::testing::TestWithParam<std::string> {};

/// The tensors of the conversion are those that MLX's model of the same kind has.
TEST_P(RawConversion, HasMlxsTensorsAndTheSameBits) {
  TemporaryFolder root;
  write_case(root.path() / "source", GetParam() + "_raw");
  const auto report = convert_model(root.path() / "source", {.out = root.path() / "converted", .form = {}});
  ASSERT_TRUE(report.ok()) << report.error().message;
  expect_same_bits(root.path() / "source", {}, root.path() / "converted");
  const Result<WeightMap> weights = WeightMap::open(root.path() / "converted");
  ASSERT_TRUE(weights.ok());
  std::set<std::string> converted;
  for (const auto& [name, tensor] : weights->tensors()) converted.insert(name);
  std::set<std::string> expected;
  for (const TensorRule& rule : read_rules(read_case(GetParam()).at("tensors").as_object()))
    expected.insert(rule.name);
  EXPECT_EQ(converted, expected);
}

INSTANTIATE_TEST_SUITE_P(All, RawConversion,
                         ::testing::Values("gemma4_text_moe", "granitemoe", "granitemoehybrid", "lfm2_moe",
                                           "mistral3", "nemotron_h_moe", "qwen2_vl", "qwen3_5", "qwen3_5_moe",
                                           "qwen3_vl_moe"));

TEST(ForeignConversion, KeepsTheCodesOfTheFormThatIsAskedFor) {
  TemporaryFolder root;
  write_case(root.path() / "source", "llama_awq");
  const auto report = convert_model(
      root.path() / "source", {.out = root.path() / "converted", .form = {QuantizationMode::kAffine, 4, 64}});
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(report->kept, 14);
  // Embedding and head were dense, so that only the projections can be compared: dequantized, both are.
  const auto from_source =
      convert_model(root.path() / "source", {.out = root.path() / "a", .form = {}, .dtype = DType::kF32});
  const auto from_converted =
      convert_model(root.path() / "converted", {.out = root.path() / "b", .form = {}, .dtype = DType::kF32});
  ASSERT_TRUE(from_source.ok()) << from_source.error().message;
  ASSERT_TRUE(from_converted.ok()) << from_converted.error().message;
  const Result<WeightMap> a = WeightMap::open(root.path() / "a");
  const Result<WeightMap> b = WeightMap::open(root.path() / "b");
  ASSERT_TRUE(a.ok() && b.ok());
  std::int64_t compared = 0;
  for (const auto& [name, tensor] : a->tensors()) {
    if (name.find("_proj.") == std::string::npos) continue;
    const TensorView* other = b->find(name);
    ASSERT_NE(other, nullptr) << name;
    EXPECT_TRUE(std::equal(tensor.data.begin(), tensor.data.end(), other->data.begin(), other->data.end()))
        << name;
    ++compared;
  }
  EXPECT_EQ(compared, 14);
}

TEST(ForeignConversion, RefusesFusedBiasesByName) {
  TemporaryFolder root;
  write_case(root.path() / "source", "gpt_oss_raw");
  const auto report =
      convert_model(root.path() / "source", {.out = root.path() / "converted", .form = kFour});
  ASSERT_FALSE(report.ok());
  EXPECT_NE(report.error().message.find("holds the biases of two layers of each expert"), std::string::npos)
      << report.error().message;
}

}  // namespace
}  // namespace mlxd::testing
