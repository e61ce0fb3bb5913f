// The backend suite over the MLX backend, its distance from the native backend's fp32 reference, and what is
// its own.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <thread>

#include "backend_suite.h"
#include "backends/cpu/cpu_backend.h"
#include "backends/mlx/mlx_backend.h"
#include "engine/page_pool.h"
#include "parity/step_runner.h"

namespace mlxd::testing {
namespace {

// MLX promises no order of summation. Tokens may differ where the logits that decide are within this.
constexpr double kCompanyBound = 1e-5;
// From the reference, which sums in another order: largest difference over largest logit.
constexpr double kReferenceBound = 1e-5;

template <typename Loaded>
std::unique_ptr<Backend> loaded(Result<Loaded> backend, std::int32_t num_pages = 0) {
  if (!backend.ok()) {
    ADD_FAILURE() << backend.error().message;
    return nullptr;
  }
  EXPECT_TRUE(resize_pages(**backend, num_pages).ok());
  return backend.take_value();
}

std::unique_ptr<Backend> make_over(const TinyModel& model, const BatchLimits& limits) {
  return loaded(MlxBackend::load(
      model.open(), {.max_batch_tokens = limits.tokens, .max_batch_sequences = limits.sequences}));
}
std::unique_ptr<Backend> make_mlx(const BatchLimits& limits) { return make_over(suite_model(), limits); }
std::unique_ptr<Backend> make_windowed(const BatchLimits& limits) {
  return make_over(windowed_suite_model(), limits);
}

INSTANTIATE_TEST_SUITE_P(
    Backends, BackendSuite,
    ::testing::Values(BackendUnderTest{.name = "Mlx", .make = make_mlx, .bound = kCompanyBound},
                      BackendUnderTest{.name = "MlxWindowed", .make = make_windowed, .bound = kCompanyBound}),
    name_of);

std::vector<float> all_logits(Backend& backend, const std::vector<TokenId>& tokens, std::int32_t chunk) {
  ScriptedSequence sequence{tokens, pages_from(0, static_cast<PageId>(pages_for_tokens(std::ssize(tokens))))};
  Result<std::vector<float>> logits = run_alone(backend, sequence, chunk, WhichLogits::kAll);
  EXPECT_TRUE(logits.ok()) << logits.error().message;
  return logits.ok() ? logits.take_value() : std::vector<float>{};
}

struct Shape {
  const char* name;
  SyntheticModelOptions options;
  std::string config;  // as TinyModel's
};

std::vector<Shape> all_shapes() {
  std::vector<Shape> shapes{{"small", {}, ""}};
  SyntheticModelOptions options;
  options.hidden_size = 96;
  options.num_heads = 6;
  options.head_dim = 32;
  shapes.push_back({"three query heads to a key head", options, ""});
  options = {};
  options.seed = 3;
  options.group_size = 64;
  options.hidden_size = 128;
  options.embedding_bits = 8;
  options.tied_embeddings = false;
  options.attention_bias = true;
  options.mlp_bias = true;
  options.rope_traditional = true;
  options.dtype = DType::kF16;
  shapes.push_back({"8-bit vocabulary, biases, traditional rotation", options, ""});
  options = {};
  options.seed = 4;
  options.bits = 0;
  options.head_dim = 80;
  options.num_kv_heads = 1;
  options.tied_embeddings = false;
  shapes.push_back({"dense, one key head", options, ""});
  options = {};
  options.bits = 3;
  options.dtype = DType::kF32;
  shapes.push_back({"llama3 frequencies, 3 bits", options,
                    R"("rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                       "high_freq_factor": 4.0, "original_max_position_embeddings": 64},)"});
  for (const Quantization& form :
       {Quantization{QuantizationMode::kMxfp4, 4, 32}, Quantization{QuantizationMode::kMxfp8, 8, 32},
        Quantization{QuantizationMode::kNvfp4, 4, 16}}) {
    options = {};
    options.bits = form.bits;
    options.group_size = form.group_size;
    options.mode = form.mode;
    shapes.push_back({to_string(form.mode).data(), options, ""});
  }
  shapes.push_back({"linear frequencies", {}, R"("rope_scaling": {"rope_type": "linear", "factor": 4.0},)"});
  options = {};
  options.num_layers = 3;
  shapes.push_back({"sliding windows beside full attention", options,
                    R"("sliding_window": 70,
                       "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],)"});
  return shapes;
}

TEST(MlxBackend, LogitsAreThoseOfTheNativeReference) {
  double largest = 0.0;
  for (const Shape& shape : all_shapes()) {
    SCOPED_TRACE(shape.name);
    const TinyModel tiny(shape.options, shape.config);
    const ModelFolder model = tiny.open();
    const auto mlx = loaded(MlxBackend::load(model), 16);
    const auto reference =
        loaded(CpuBackend::load(model, {.precision = CpuPrecision::kReference, .num_threads = 1}), 16);
    ASSERT_TRUE(mlx && reference);
    const std::vector<TokenId> tokens = random_tokens(480, 5);
    const double difference =
        relative_difference(all_logits(*mlx, tokens, 100), all_logits(*reference, tokens, 100));
    EXPECT_LE(difference, kReferenceBound);
    largest = std::max(largest, difference);
  }
  RecordProperty("largest_difference", std::to_string(largest));
  std::cout << "largest difference over largest logit: " << largest << "\n";
}

// A real model, whose logits the reference has from mlx-lm (tests/parity). A few tokens: MLX needs a tenth of
// a second for each.
TEST(MlxBackend, TheDemoModelsLogitsAreThoseOfTheNativeReference) {
  const char* folder = std::getenv("MLXD_TEST_MODEL");
  if (folder == nullptr || *folder == '\0') GTEST_SKIP() << "MLXD_TEST_MODEL does not name the demo model";
  Result<ModelFolder> model = ModelFolder::open(folder);
  ASSERT_TRUE(model.ok()) << model.error().message;
  const auto mlx = loaded(MlxBackend::load(*model), 2);
  const auto reference = loaded(CpuBackend::load(*model, {.precision = CpuPrecision::kReference}), 2);
  ASSERT_TRUE(mlx && reference);
  const std::vector<TokenId> tokens{504, 3575, 282, 4649, 314, 7042, 28, 527};
  const double difference =
      relative_difference(all_logits(*mlx, tokens, 5), all_logits(*reference, tokens, 5));
  std::cout << "largest difference over largest logit: " << difference << "\n";
  EXPECT_LE(difference, 1e-4);
}

// A model whose layers lie in two groups, each with its own number of pages and its own page tables, gives
// what it gives in one group.
TEST(MlxBackend, EachLayerGroupHasItsOwnPages) {
  const ModelFolder model = suite_model().open();
  ModelSpec spec = model.spec();
  LayerGroup group = spec.layer_groups[0];
  group.num_layers = 1;
  spec.layer_groups = {group, group};
  spec.layers[1].attention->layer_group = 1;
  spec.layers[1].attention->index_in_group = 0;
  const auto one = loaded(MlxBackend::load(model), 8);
  const auto two = loaded(MlxBackend::load(spec, model.weights()), 8);
  ASSERT_TRUE(one && two);
  ASSERT_TRUE(two->resize_pages(1, 20).ok());
  EXPECT_EQ(two->info().page_bytes(), one->info().page_bytes());

  const std::vector<TokenId> tokens = random_tokens(100, 8);
  const std::vector<float> expected = all_logits(*one, tokens, 100);
  ScriptedSequence sequence{tokens, pages_from(0, 4)};
  std::vector<PageId> others{19, 3, 11, 4};
  std::vector<float> logits;
  while (sequence.done < 100) {
    const StepPart part{&sequence, 20, WhichLogits::kAll};
    StepBatch batch = make_batch(std::span(&part, 1), {.want_logits = true});
    batch.sequences[0].page_tables[1] = {static_cast<std::int32_t>(batch.page_ids.size()), 4};
    batch.page_ids.insert(batch.page_ids.end(), others.begin(), others.end());
    const Result<Backend::StepHandle> handle = two->submit(batch);
    ASSERT_TRUE(handle.ok()) << handle.error().message;
    StepResult result;
    ASSERT_TRUE(two->collect(*handle, result).ok());
    logits.insert(logits.end(), result.logits.begin(), result.logits.end());
    sequence.done += 20;
    // The second group's pages move about; the first group's stay.
    const PageCopy copy{others[0], others[0] - 1};
    ASSERT_TRUE(two->copy_pages(1, std::span(&copy, 1)).ok());
    others[0] = copy.to;
  }
  EXPECT_LE(relative_difference(logits, expected), kCompanyBound);
}

TEST(MlxBackend, BelongsToTheThreadThatLoadedIt) {
  const auto backend = make_mlx({});
  Result<void> resized;
  std::thread([&] { resized = backend->resize_pages(0, 3); }).join();
  ASSERT_FALSE(resized.ok());
  EXPECT_NE(resized.error().message.find("another thread"), std::string::npos) << resized.error().message;
  EXPECT_TRUE(backend->resize_pages(0, 3).ok());
}

TEST(MlxBackend, PagesAreNotTouchedWhileAStepIsOutstanding) {
  const auto backend = make_mlx({});
  ASSERT_TRUE(backend->resize_pages(0, 4).ok());
  ScriptedSequence sequence{random_tokens(20, 1), pages_from(0, 1)};
  const StepPart part{&sequence, 20, WhichLogits::kLast};
  const StepBatch batch = make_batch(std::span(&part, 1), {});
  const Result<Backend::StepHandle> one = backend->submit(batch);
  const Result<Backend::StepHandle> two = backend->submit(batch);
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_FALSE(backend->submit(batch).ok());
  const PageCopy copy{0, 1};
  EXPECT_FALSE(backend->copy_pages(0, std::span(&copy, 1)).ok());
  EXPECT_FALSE(backend->resize_pages(0, 5).ok());
  StepResult result;
  ASSERT_TRUE(backend->collect(*one, result).ok());
  ASSERT_TRUE(backend->collect(*two, result).ok());
  EXPECT_FALSE(backend->collect(*two, result).ok());
  EXPECT_TRUE(backend->copy_pages(0, std::span(&copy, 1)).ok());
  const PageCopy outside{0, 4};
  EXPECT_FALSE(backend->copy_pages(0, std::span(&outside, 1)).ok());
  EXPECT_FALSE(backend->copy_pages(1, std::span(&copy, 1)).ok());
}

TEST(MlxBackend, RefusesNotANumberInWeightsNamingTheTensor) {
  const TinyModel tiny({.dtype = DType::kF32});
  const std::string name = "model.layers.1.mlp.up_proj.scales";
  {
    const ModelFolder model = tiny.open();
    const TensorView* tensor = model.weights().find(name);
    ASSERT_NE(tensor, nullptr);
    const std::byte* first = tensor->data.data();
    for (const auto& [other_name, other] : model.weights().tensors())
      first = std::min(first, other.data.data());
    std::fstream file(tiny.path() / "model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
    std::uint64_t header_bytes = 0;
    file.read(reinterpret_cast<char*>(&header_bytes), sizeof(header_bytes));
    file.seekp(static_cast<std::streamoff>(8 + header_bytes) + (tensor->data.data() - first));
    const float nan = NAN;
    file.write(reinterpret_cast<const char*>(&nan), sizeof(nan));
  }
  const Result<std::unique_ptr<MlxBackend>> backend = MlxBackend::load(tiny.open());
  ASSERT_FALSE(backend.ok());
  EXPECT_EQ(backend.error().kind, ErrorKind::kCorruptData);
  EXPECT_NE(backend.error().message.find(name), std::string::npos) << backend.error().message;
}

TEST(MlxBackend, ReportsProgressAndMemory) {
  std::vector<float> progress;
  const auto backend = loaded(
      MlxBackend::load(suite_model().open(), {.progress = [&](float done) { progress.push_back(done); }}),
      10);
  ASSERT_FALSE(progress.empty());
  EXPECT_TRUE(std::is_sorted(progress.begin(), progress.end()));
  EXPECT_EQ(progress.back(), 1.0F);
  EXPECT_GT(backend->memory().weight_bytes, 0U);
  EXPECT_EQ(backend->memory().page_bytes, 10 * backend->info().page_bytes());
}

}  // namespace
}  // namespace mlxd::testing
