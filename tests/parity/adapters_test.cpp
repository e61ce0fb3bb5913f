// LoRA and DoRA adapters on tiny random models, one for each file of adapters/ (README.md): the fp32 path
// against mlx-lm's logits, the fast path against the fp32 path and against itself, bit for bit: however a
// prompt is cut and whoever shares its steps, with another adapter or with none.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "model/adapter.h"
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
/// With 16-bit activations: what 8 bits lose would hide faults of an adapter.
constexpr double kFastBound = 0.01;
constexpr AdapterId kFirst = 7;
constexpr AdapterId kSecond = 3;

fs::path parity_folder() { return fs::path(MLXD_SOURCE_DIR) / "tests/parity"; }

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(parity_folder() / "adapters")) {
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool same_bits(const Logits& a, const Logits& b) {
  return a.size() == b.size() && !a.empty() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

double difference(const Logits& a, const Logits& b) {
  if (a.size() != b.size()) return INFINITY;
  double largest_difference = 0.0;
  double largest = 0.0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(b[i])));
    const double distance = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    largest_difference = std::isfinite(a[i]) ? std::max(largest_difference, distance) : INFINITY;
  }
  return largest_difference / largest;
}

class Adapters : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const Result<json::object> file =
        read_json_object(parity_folder() / "adapters" / (GetParam() + ".json"), 1U << 20U);
    ASSERT_TRUE(file.ok()) << file.error().message;
    const std::string model_case(file->at("model").as_string());
    const Result<json::object> model =
        read_json_object(parity_folder() / "architectures" / (model_case + ".json"), 1U << 20U);
    ASSERT_TRUE(model.ok()) << model.error().message;
    for (const json::value& token : model->at("tokens").as_array())
      tokens_.push_back(static_cast<TokenId>(token.as_int64()));
    for (const json::value& row : file->at("rows").as_array())
      rows_.push_back(static_cast<std::size_t>(row.as_int64()));
    for (const json::value& row : file->at("logits").as_array()) {
      for (const json::value& logit : row.as_array()) expected_.push_back(logit.to_number<float>());
    }
    ASSERT_TRUE(
        write_rule_model(folder_.path(), model->at("config"), read_rules(model->at("tensors").as_object()))
            .ok());
    const std::vector<TensorRule> rules = read_rules(file->at("tensors").as_object());
    json::object config = file->at("config").as_object();
    ASSERT_TRUE(write_rule_adapter(folder_.path() / "first", config, rules).ok());
    // The same tensors to another effect.
    config.at("lora_parameters").as_object().at("scale") = -0.7;
    ASSERT_TRUE(write_rule_adapter(folder_.path() / "second", config, rules).ok());
  }

  /// With both adapters attached.
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
    for (const auto& [id, name] : {std::pair(kFirst, "first"), std::pair(kSecond, "second")}) {
      const Result<Adapter> adapter = Adapter::open(folder_.path() / name, model->spec());
      if (!adapter.ok()) {
        ADD_FAILURE() << adapter.error().message;
        return nullptr;
      }
      Result<PreparedAdapterPtr> prepared = (*backend)->prepare_adapter(*adapter);
      if (!prepared.ok()) {
        ADD_FAILURE() << prepared.error().message;
        return nullptr;
      }
      EXPECT_TRUE((*backend)->attach_adapter(id, prepared.take_value()).ok());
    }
    return backend.take_value();
  }

  /// Logits of all tokens, run alone in chunks over three pages from `first_page` on.
  Logits run(CpuBackend& backend, AdapterId adapter, std::int32_t chunk, PageId first_page = 0) const {
    ScriptedSequence sequence{tokens_, {first_page, first_page + 1, first_page + 2}};
    sequence.adapter = adapter;
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

  TemporaryFolder folder_;
  std::vector<TokenId> tokens_;
  std::vector<std::size_t> rows_;
  Logits expected_;
};

TEST_P(Adapters, ComputeWhatMlxLmComputes) {
  const auto reference = load({.precision = CpuPrecision::kReference, .num_threads = 2});
  ASSERT_NE(reference, nullptr);
  const Logits exact = run(*reference, kFirst, 80);
  ASSERT_EQ(exact.size() / tokens_.size() * rows_.size(), expected_.size());
  const double reference_error = difference(expected_rows_of(exact), expected_);
  EXPECT_LT(reference_error, kReferenceBound);
  EXPECT_TRUE(same_bits(run(*reference, kFirst, 7, 3), exact));
  const Logits other = run(*reference, kSecond, 80, 6);
  const Logits plain = run(*reference, kNoAdapter, 80, 9);
  EXPECT_GT(difference(other, exact), 0.02);
  EXPECT_GT(difference(plain, exact), 0.02);

  const auto fast = load({.num_threads = 2, .activation_bits = 16});
  ASSERT_NE(fast, nullptr);
  const double fast_error = difference(run(*fast, kFirst, 80), exact);
  EXPECT_LT(fast_error, kFastBound);
  EXPECT_LT(difference(run(*fast, kSecond, 80, 3), other), kFastBound);
  EXPECT_LT(difference(run(*fast, kNoAdapter, 80, 6), plain), kFastBound);
  RecordProperty("reference_error", std::to_string(reference_error));
  RecordProperty("fast_error", std::to_string(fast_error));
}

/// Steps of uneven parts of sequences with both adapters and with none, over pages of their own; the first
/// one's logits, and the others'.
struct Company {
  Logits first, second, plain;
};
Company run_together(CpuBackend& backend, const std::vector<TokenId>& tokens) {
  ScriptedSequence first{tokens, {12, 13, 14}};
  ScriptedSequence second{tokens, {15, 16, 17}};
  ScriptedSequence plain{tokens, {18, 19, 20}};
  ScriptedSequence again{{tokens.rbegin(), tokens.rend()}, {21, 22, 23}};
  first.adapter = again.adapter = kFirst;
  second.adapter = kSecond;
  Company company;
  const auto total = static_cast<std::int32_t>(tokens.size());
  const auto all_done = [&] { return first.done == total && second.done == total && plain.done == total; };
  for (std::int32_t step = 0; !all_done(); ++step) {
    std::vector<StepPart> parts;
    std::vector<Logits*> outputs;
    const auto add = [&](ScriptedSequence& sequence, std::int32_t count, Logits* output) {
      count = std::min(count, total - sequence.done);
      if (count == 0) return;
      parts.push_back({&sequence, count, output != nullptr ? WhichLogits::kAll : WhichLogits::kNone});
      for (std::int32_t i = 0; output != nullptr && i < count; ++i) outputs.push_back(output);
    };
    add(again, 1, nullptr);
    add(plain, 1 + step * 3 % 11, &company.plain);
    add(first, 1 + step * 5 % 17, &company.first);
    add(second, 2 + step % 4, &company.second);
    const Result<StepResult> result = run_step(backend, parts);
    EXPECT_TRUE(result.ok()) << result.error().message;
    if (!result.ok()) return {};
    const std::size_t row = result->logits.size() / outputs.size();
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const auto from = result->logits.begin() + static_cast<std::ptrdiff_t>(i * row);
      outputs[i]->insert(outputs[i]->end(), from, from + static_cast<std::ptrdiff_t>(row));
    }
  }
  return company;
}

TEST_P(Adapters, HaveTheSameBitsHoweverTheyRun) {
  for (const CpuPrecision precision : {CpuPrecision::kFast, CpuPrecision::kReference}) {
    const auto backend = load({.precision = precision, .num_threads = 2});
    ASSERT_NE(backend, nullptr);
    const Logits whole = run(*backend, kFirst, 80);
    const Logits other = run(*backend, kSecond, 80, 3);
    const Logits plain = run(*backend, kNoAdapter, 80, 6);
    EXPECT_TRUE(same_bits(run(*backend, kFirst, 7, 9), whole)) << "chunks";
    EXPECT_TRUE(same_bits(run(*backend, kFirst, 1, 3), whole)) << "one by one";

    // A cached prefix: the first page of the first run, as another sequence finds it.
    ScriptedSequence cached{tokens_, {0, 9, 10}, kPageTokens};
    cached.adapter = kFirst;
    const Result<Logits> rest = run_alone(*backend, cached, 20, WhichLogits::kAll);
    ASSERT_TRUE(rest.ok()) << rest.error().message;
    EXPECT_TRUE(
        same_bits(*rest, Logits(whole.end() - static_cast<std::ptrdiff_t>(rest->size()), whole.end())))
        << "cached prefix";

    if (backend->info().num_sliceable_layers > 0) {
      ScriptedSequence sequence{tokens_, {3, 4, 5}};
      sequence.adapter = kFirst;
      const Result<Logits> sliced = run_in_slices(*backend, sequence, 1);
      ASSERT_TRUE(sliced.ok()) << sliced.error().message;
      EXPECT_TRUE(same_bits(*sliced, whole)) << "layer by layer";
    }

    const Company company = run_together(*backend, tokens_);
    EXPECT_TRUE(same_bits(company.first, whole)) << "company";
    EXPECT_TRUE(same_bits(company.second, other)) << "company, the other adapter";
    EXPECT_TRUE(same_bits(company.plain, plain)) << "company, without an adapter";

    // Without the other one, and after both.
    backend->detach_adapter(kSecond);
    EXPECT_TRUE(same_bits(run(*backend, kFirst, 11, 3), whole)) << "alone";
    backend->detach_adapter(kFirst);
    EXPECT_TRUE(same_bits(run(*backend, kNoAdapter, 11, 3), plain)) << "detached";
    EXPECT_EQ(backend->memory().adapter_bytes, 0U);
    if (precision == CpuPrecision::kReference) continue;

    const auto scalar = load({.num_threads = 1, .isa = Isa::kScalar});
    ASSERT_NE(scalar, nullptr);
    EXPECT_TRUE(same_bits(run(*scalar, kFirst, 33), whole)) << "scalar kernels";
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, Adapters, ::testing::ValuesIn(case_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace mlxd::testing
