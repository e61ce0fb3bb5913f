// Every architecture on tiny random models, one for each file of architectures/ (README.md): the fp32 path
// against mlx-lm's logits, the fast path against itself (bit for bit, however a prompt is cut and whoever
// shares its steps) and against the fp32 path.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "model/json.h"
#include "model/testing/rule_model.h"
#include "model/testing/synthetic_model.h"
#include "step_runner.h"

namespace mlxd::testing {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using Logits = std::vector<float>;

constexpr PageId kPages = 24;
/// Largest difference over largest logit.
constexpr double kReferenceBound = 1e-3;
constexpr double kFastBound = 0.1;

fs::path case_folder() { return fs::path(MLXD_SOURCE_DIR) / "tests/parity/architectures"; }

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(case_folder())) {
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool same_bits(const Logits& a, const Logits& b) {
  return a.size() == b.size() && !a.empty() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

double difference(const Logits& a, const Logits& b) {
  double largest_difference = 0.0;
  double largest = 0.0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(b[i])));
    const double distance = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    largest_difference = std::isfinite(a[i]) ? std::max(largest_difference, distance) : INFINITY;
  }
  return largest_difference / largest;
}

class Architectures : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    Result<json::object> file = read_json_object(case_folder() / (GetParam() + ".json"), 1U << 20U);
    ASSERT_TRUE(file.ok()) << file.error().message;
    for (const json::value& token : file->at("tokens").as_array())
      tokens_.push_back(static_cast<TokenId>(token.as_int64()));
    for (const json::value& row : file->at("rows").as_array())
      rows_.push_back(static_cast<std::size_t>(row.as_int64()));
    for (const json::value& row : file->at("logits").as_array()) {
      for (const json::value& logit : row.as_array()) expected_.push_back(logit.to_number<float>());
    }
    config_ = file->at("config").as_object();
    const Result<void> written =
        write_rule_model(folder_.path(), config_, read_rules(file->at("tensors").as_object()));
    ASSERT_TRUE(written.ok()) << written.error().message;
    model_type_ = std::string(config_.at("model_type").as_string());
  }

  std::unique_ptr<CpuBackend> load(const CpuOptions& options) const {
    Result<ModelFolder> model = ModelFolder::open(folder_.path());
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

  /// Logits of all tokens, run alone in chunks over three pages from `first_page` on.
  Logits run(CpuBackend& backend, std::int32_t chunk, PageId first_page = 0) const {
    ScriptedSequence sequence{tokens_, {first_page, first_page + 1, first_page + 2}};
    Result<Logits> logits = run_alone(backend, sequence, chunk, WhichLogits::kAll);
    EXPECT_TRUE(logits.ok()) << logits.error().message;
    return logits.ok() ? logits.take_value() : Logits{};
  }

  Logits expected_rows_of(const Logits& all) const {
    const std::size_t vocabulary = all.size() / tokens_.size();
    Logits rows;
    for (const std::size_t row : rows_) {
      const auto from = all.begin() + static_cast<std::ptrdiff_t>(row * vocabulary);
      rows.insert(rows.end(), from, from + static_cast<std::ptrdiff_t>(vocabulary));
    }
    return rows;
  }

  /// What opening the folder says if a field of the configuration (or of its text_config) has another value.
  Result<ModelFolder> open_with(std::string_view field, const json::value& value) const {
    json::object changed = config_;
    json::object& holder = changed.contains("text_config") ? changed.at("text_config").as_object() : changed;
    holder[field] = value;
    std::ofstream(folder_.path() / "config.json", std::ios::trunc) << json::serialize(changed);
    return ModelFolder::open(folder_.path());
  }

  TemporaryFolder folder_;
  json::object config_;
  std::string model_type_;
  std::vector<TokenId> tokens_;
  std::vector<std::size_t> rows_;
  Logits expected_;
};

/// What docs/models.md is made of: a line for each case, if MLXD_PARITY_REPORT names a file.
void report(const std::string& name, const std::string& model_type, double reference, double fast) {
  const char* path = std::getenv("MLXD_PARITY_REPORT");
  if (path == nullptr) return;
  std::ofstream out(path, std::ios::app);
  out << json::serialize(json::object{
             {"case", name}, {"model_type", model_type}, {"reference", reference}, {"fast", fast}})
      << "\n";
}

TEST_P(Architectures, ComputesWhatMlxLmComputes) {
  const auto reference = load({.precision = CpuPrecision::kReference, .num_threads = 2});
  ASSERT_NE(reference, nullptr);
  const Logits exact = run(*reference, 80);
  ASSERT_EQ(exact.size() / tokens_.size() * rows_.size(), expected_.size());
  const double reference_error = difference(expected_rows_of(exact), expected_);
  EXPECT_LT(reference_error, kReferenceBound);
  EXPECT_TRUE(same_bits(run(*reference, 7, 3), exact));

  const auto fast = load({.num_threads = 2});
  ASSERT_NE(fast, nullptr);
  const double fast_error = difference(run(*fast, 80), exact);
  EXPECT_LT(fast_error, kFastBound);
  report(GetParam(), model_type_, reference_error, fast_error);
  RecordProperty("reference_error", std::to_string(reference_error));
  RecordProperty("fast_error", std::to_string(fast_error));
}

TEST_P(Architectures, HasTheSameBitsHoweverItRuns) {
  const auto backend = load({.num_threads = 2});
  ASSERT_NE(backend, nullptr);
  const Logits whole = run(*backend, 80);
  EXPECT_TRUE(same_bits(run(*backend, 7, 6), whole)) << "chunks";
  EXPECT_TRUE(same_bits(run(*backend, 1, 3), whole)) << "one by one";

  // A cached prefix: the first page of the first run, as another sequence finds it.
  ScriptedSequence cached{tokens_, {0, 9, 10}, kPageTokens};
  const Result<Logits> rest = run_alone(*backend, cached, 20, WhichLogits::kAll);
  ASSERT_TRUE(rest.ok()) << rest.error().message;
  EXPECT_TRUE(same_bits(*rest, Logits(whole.end() - static_cast<std::ptrdiff_t>(rest->size()), whole.end())))
      << "cached prefix";

  if (backend->info().num_sliceable_layers > 0) {
    ScriptedSequence sequence{tokens_, {3, 4, 5}};
    const Result<Logits> sliced = run_in_slices(*backend, sequence, 1);
    ASSERT_TRUE(sliced.ok()) << sliced.error().message;
    EXPECT_TRUE(same_bits(*sliced, whole)) << "layer by layer";
  }

  // Company: three sequences in steps of uneven parts, one of them with other tokens.
  std::vector<TokenId> others(tokens_.rbegin(), tokens_.rend());
  ScriptedSequence first{tokens_, {12, 13, 14}};
  ScriptedSequence second{others, {15, 16, 17}};
  ScriptedSequence third{tokens_, {18, 19, 20}};
  Logits in_company;
  const std::size_t row_size = whole.size() / tokens_.size();
  const auto total = static_cast<std::int32_t>(tokens_.size());
  for (std::int32_t step = 0; first.done < total; ++step) {
    const std::int32_t count = std::min(total - first.done, 1 + step * 5 % 17);
    std::vector<StepPart> parts;
    const std::int32_t other_count = std::min(total - second.done, 3 + step % 4);
    if (other_count > 0) parts.push_back({&second, other_count, WhichLogits::kNone});
    parts.push_back({&first, count, WhichLogits::kAll});
    if (third.done < total) parts.push_back({&third, 1, WhichLogits::kNone});
    const Result<StepResult> result = run_step(*backend, parts);
    ASSERT_TRUE(result.ok()) << result.error().message;
    ASSERT_EQ(result->logits.size(), static_cast<std::size_t>(count) * row_size);
    in_company.insert(in_company.end(), result->logits.begin(), result->logits.end());
  }
  EXPECT_TRUE(same_bits(in_company, whole)) << "company";

  const auto scalar = load({.num_threads = 1, .isa = Isa::kScalar});
  ASSERT_NE(scalar, nullptr);
  EXPECT_TRUE(same_bits(run(*scalar, 33), whole)) << "scalar kernels";
}

/// Where everything takes ten times as long, trying every lie in every case does not pay: one in eight.
bool skips_lies([[maybe_unused]] const std::string& name) {
#if defined(NDEBUG) && !defined(MLXD_SANITIZED)
  return false;
#else
  const std::vector<std::string> names = case_names();
  return (std::find(names.begin(), names.end(), name) - names.begin()) % 8 != 0;
#endif
}

TEST_P(Architectures, RefusesConfigurationsThatLie) {
  if (skips_lies(GetParam())) GTEST_SKIP() << "another case tries them";
  const json::object& text =
      config_.contains("text_config") ? config_.at("text_config").as_object() : config_;
  for (const char* field : {"hidden_size", "num_hidden_layers", "num_layers", "vocab_size", "num_experts",
                            "num_local_experts", "n_routed_experts", "moe_num_experts"}) {
    const json::value* value = text.if_contains(field);
    if (value == nullptr) continue;
    const Result<ModelFolder> model = open_with(field, value->as_int64() * 2);
    ASSERT_FALSE(model.ok()) << field;
    EXPECT_EQ(model.error().kind, ErrorKind::kCorruptData) << model.error().message;
  }
  // Whatever a number says, opening ends, what it refuses it names, and what it accepts loads and runs.
  for (const auto& [field, value] : text) {
    if (!value.is_number()) continue;
    for (const json::value& absurd :
         {json::value(-1), json::value(0), json::value(1), json::value(3),
          json::value(std::int64_t{1} << 20U), json::value(std::int64_t{1} << 40U), json::value(1e300),
          json::value("many"), json::value(json::object())}) {
      const Result<ModelFolder> model = open_with(field, absurd);
      if (!model.ok()) {
        EXPECT_NE(model.error().message.find(folder_.path().string()), std::string::npos)
            << std::string(field) << ": " << model.error().message;
        continue;
      }
      for (const CpuPrecision precision : {CpuPrecision::kReference, CpuPrecision::kFast}) {
        const auto backend =
            CpuBackend::load(*model, {.precision = precision, .num_threads = 1, .max_batch_tokens = 8});
        if (!backend.ok()) {
          EXPECT_FALSE(backend.error().message.empty());
          continue;
        }
        ASSERT_TRUE(resize_pages(**backend, 1).ok());
        ScriptedSequence sequence{{tokens_.begin(), tokens_.begin() + 3}, {0}};
        const Result<Logits> logits = run_alone(**backend, sequence, 2, WhichLogits::kAll);
        // Only a context of fewer tokens can be in the way.
        EXPECT_TRUE(logits.ok() || field == "max_position_embeddings") << logits.error().message;
      }
    }
  }
}

/// Gives a tensor a name of the same length that no model has, in the file's header.
void rename_tensor(const fs::path& file, const std::string& name) {
  std::string bytes;
  {
    std::ifstream in(file, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  const std::size_t place = bytes.find("\"" + name + "\"");
  ASSERT_NE(place, std::string::npos) << name;
  bytes[place + 1] = '#';
  std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
}

TEST_P(Architectures, RefusesAFolderWithoutATensorByItsName) {
  if (skips_lies(GetParam())) GTEST_SKIP() << "another case tries them";
  Result<json::object> file = read_json_object(case_folder() / (GetParam() + ".json"), 1U << 20U);
  ASSERT_TRUE(file.ok());
  for (const TensorRule& rule : read_rules(file->at("tensors").as_object())) {
    const fs::path weights = folder_.path() / "model.safetensors";
    const fs::path whole = folder_.path() / "whole";
    fs::rename(weights, whole);
    fs::copy_file(whole, weights);
    rename_tensor(weights, rule.name);
    const Result<ModelFolder> model = ModelFolder::open(folder_.path());
    if (model.ok()) {
      // A mask that transformers stores may be missing.
      EXPECT_TRUE(rule.name.ends_with(".attn.bias")) << rule.name;
      fs::rename(whole, weights);
      continue;
    }
    EXPECT_EQ(model.error().kind, ErrorKind::kCorruptData);
    // By the name of its module at least: scales that are missing leave weights of the wrong type behind.
    // What a raw checkpoint lacks goes by the name that MLX would have for it.
    const std::size_t last = rule.name.rfind('.');
    const bool is_foreign = GetParam().ends_with("_raw") || config_.contains("quantization_config");
    const std::string module = is_foreign ? "tensor " : rule.name.substr(1, last - 1);
    EXPECT_NE(model.error().message.find(module), std::string::npos) << model.error().message;
    fs::rename(whole, weights);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, Architectures, ::testing::ValuesIn(case_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace mlxd::testing
