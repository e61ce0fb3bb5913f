// The CPU backend as a whole, on tiny synthetic models: same bits on every instruction set, in any company
// and at any chunk size; close to the reference.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <random>

#include "backends/cpu/cpu_backend.h"
#include "model/testing/synthetic_model.h"
#include "step_runner.h"

namespace mlxd::testing {
namespace {

using Logits = std::vector<float>;

bool same_bits(const Logits& a, const Logits& b) {
  return a.size() == b.size() && !a.empty() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// One tiny model on disk, and backends over it.
class SyntheticModel {
 public:
  explicit SyntheticModel(const SyntheticModelOptions& options = {}) : vocab_size_(options.vocab_size) {
    const Result<void> written = write_synthetic_model(folder_.path(), options);
    EXPECT_TRUE(written.ok());
  }

  const std::filesystem::path& path() const { return folder_.path(); }

  std::unique_ptr<CpuBackend> load(CpuOptions options = {}, std::int32_t num_pages = 64) const {
    if (options.num_threads == 0) options.num_threads = 2;
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
    EXPECT_TRUE(resize_pages(**backend, num_pages).ok());
    return backend.take_value();
  }

  std::vector<TokenId> random_tokens(std::size_t count, std::uint32_t seed) const {
    std::mt19937 generator(seed);
    std::vector<TokenId> tokens(count);
    for (TokenId& token : tokens)
      token = static_cast<TokenId>(generator() % static_cast<std::uint32_t>(vocab_size_));
    return tokens;
  }

 private:
  TemporaryFolder folder_;
  std::int32_t vocab_size_;
};

std::vector<PageId> pages_from(PageId first, PageId count) {
  std::vector<PageId> pages(count);
  for (PageId i = 0; i < count; ++i) pages[i] = first + i;
  return pages;
}

/// Logits of all tokens of one sequence, run alone.
Logits all_logits(CpuBackend& backend, const std::vector<TokenId>& tokens, std::int32_t chunk,
                  std::vector<PageId> pages) {
  ScriptedSequence sequence{tokens, std::move(pages)};
  Result<Logits> logits = run_alone(backend, sequence, chunk, WhichLogits::kAll);
  EXPECT_TRUE(logits.ok()) << logits.error().message;
  return logits.ok() ? logits.take_value() : Logits{};
}

/// Distance of a from b relative to the size of b.
double relative_distance(const Logits& a, const Logits& b) {
  EXPECT_EQ(a.size(), b.size());
  double error = 0;
  double total = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    error += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    total += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(error / total);
}

/// Model shapes that between them reach every kind of kernel.
std::vector<SyntheticModelOptions> all_shapes() {
  SyntheticModelOptions grouped;  // three query heads to a K/V head, as the demo model
  grouped.hidden_size = 96;
  grouped.num_heads = 6;
  grouped.head_dim = 32;
  SyntheticModelOptions mixed;  // an 8-bit untied vocabulary, biases, the other rotation
  mixed.seed = 3;
  mixed.group_size = 64;
  mixed.hidden_size = 128;
  mixed.embedding_bits = 8;
  mixed.tied_embeddings = false;
  mixed.attention_bias = true;
  mixed.mlp_bias = true;
  mixed.rope_traditional = true;
  mixed.dtype = DType::kF16;
  SyntheticModelOptions dense;
  dense.seed = 4;
  dense.bits = 0;
  dense.head_dim = 80;
  dense.num_kv_heads = 1;
  SyntheticModelOptions windowed;  // two layer groups
  windowed.seed = 5;
  windowed.num_layers = 3;
  windowed.sliding_window = 41;
  windowed.layer_types = {"sliding_attention", "full_attention", "sliding_attention"};
  SyntheticModelOptions nvfp4;  // int8 products of small floats, the vocabulary's too
  nvfp4.seed = 6;
  nvfp4.group_size = 16;
  nvfp4.mode = QuantizationMode::kNvfp4;
  SyntheticModelOptions mxfp8;  // fp32 products of scaled weights
  mxfp8.seed = 7;
  mxfp8.bits = 8;
  mxfp8.mode = QuantizationMode::kMxfp8;
  return {grouped, mixed, dense, nvfp4, mxfp8, windowed};
}

constexpr KvFormat kFormats[] = {KvFormat::kFloat16, KvFormat::kBFloat16, KvFormat::kInt8,
                                 KvFormat::kFloat32};

TEST(CpuBackend, EveryInstructionSetGivesTheBitsOfTheScalarModel) {
  for (const SyntheticModelOptions& shape : all_shapes()) {
    const SyntheticModel model(shape);
    const std::vector<TokenId> tokens = model.random_tokens(75, 7);
    for (const KvFormat format : kFormats) {
      const auto scalar = model.load({.num_threads = 1, .isa = Isa::kScalar, .kv_format = format});
      const Logits expected = all_logits(*scalar, tokens, 64, pages_from(0, 3));
      for (const Isa isa : available_isas()) {
        SCOPED_TRACE(to_string(isa));
        const auto backend = model.load({.num_threads = 2, .isa = isa, .kv_format = format});
        EXPECT_TRUE(same_bits(all_logits(*backend, tokens, 64, pages_from(0, 3)), expected));
      }
    }
  }
}

TEST(CpuBackend, ChunkSizeAndThreadsDoNotChangeABit) {
  for (const SyntheticModelOptions& shape : {all_shapes().front(), all_shapes().back()}) {
    const SyntheticModel model(shape);
    const std::vector<TokenId> tokens = model.random_tokens(300, 11);
    for (const KvFormat format : kFormats) {
      const auto backend = model.load({.num_threads = 1, .kv_format = format});
      const Logits expected = all_logits(*backend, tokens, 300, pages_from(0, 10));
      // More threads than cores wait long for each other: once is enough.
      const std::int32_t most_threads = format == KvFormat::kFloat16 ? 3 : 2;
      for (std::int32_t threads = 1; threads <= most_threads; ++threads) {
        const auto other = model.load({.num_threads = threads, .kv_format = format});
        for (const std::int32_t chunk : {1, 3, 7, 32, 64, 300}) {
          EXPECT_TRUE(same_bits(all_logits(*other, tokens, chunk, pages_from(0, 10)), expected))
              << threads << " threads, chunks of " << chunk << ", " << to_string(format);
        }
      }
    }
  }
}

void check_company(const SyntheticModelOptions& shape, KvFormat format) {
  const SyntheticModel model(shape);
  const auto backend = model.load({.kv_format = format});
  constexpr std::size_t kSequences = 8;
  std::mt19937 generator(21);
  std::vector<PageId> free_pages = pages_from(0, 64);
  std::shuffle(free_pages.begin(), free_pages.end(), generator);
  std::vector<ScriptedSequence> together(kSequences);
  std::vector<Logits> alone(kSequences);
  for (std::size_t i = 0; i < kSequences; ++i) {
    const std::size_t length = 20 + generator() % 180;
    together[i].tokens = model.random_tokens(length, static_cast<std::uint32_t>(100 + i));
    alone[i] = all_logits(*backend, together[i].tokens, 64, pages_from(0, 7));
  }
  for (ScriptedSequence& sequence : together) {
    for (std::size_t page = 0; page < 7; ++page) {
      sequence.pages.push_back(free_pages.back());
      free_pages.pop_back();
    }
  }
  // Everyone joins and leaves when they like, with chunks of any size.
  std::vector<Logits> batched(kSequences);
  while (true) {
    std::vector<StepPart> parts;
    std::vector<std::size_t> who;
    for (std::size_t i = 0; i < kSequences; ++i) {
      const auto left = static_cast<std::int32_t>(together[i].tokens.size()) - together[i].done;
      if (left == 0 || generator() % 4 == 0) continue;
      const auto count =
          std::min(left, static_cast<std::int32_t>(1 + generator() % (generator() % 2 == 0 ? 2 : 40)));
      parts.push_back({&together[i], count, WhichLogits::kAll});
      who.push_back(i);
    }
    const bool finished = std::all_of(together.begin(), together.end(), [](const ScriptedSequence& sequence) {
      return sequence.done == static_cast<std::int32_t>(sequence.tokens.size());
    });
    if (finished) break;
    if (parts.empty()) continue;
    Result<StepResult> result = run_step(*backend, parts);
    ASSERT_TRUE(result.ok()) << result.error().message;
    std::size_t offset = 0;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const std::size_t size = static_cast<std::size_t>(parts[i].num_tokens) *
                               static_cast<std::size_t>(backend->info().vocab_size);
      const auto begin = result->logits.begin() + static_cast<std::ptrdiff_t>(offset);
      batched[who[i]].insert(batched[who[i]].end(), begin, begin + static_cast<std::ptrdiff_t>(size));
      offset += size;
    }
  }
  for (std::size_t i = 0; i < kSequences; ++i)
    EXPECT_TRUE(same_bits(batched[i], alone[i])) << "sequence " << i;
}

TEST(CpuBackend, CompanyAndPageOrderDoNotChangeABit) {
  for (const SyntheticModelOptions& shape : all_shapes()) {
    for (const KvFormat format : {KvFormat::kFloat16, KvFormat::kInt8}) check_company(shape, format);
  }
}

TEST(CpuBackend, TheFastPathIsCloseToTheReference) {
  for (const SyntheticModelOptions& shape : all_shapes()) {
    const SyntheticModel model(shape);
    const std::vector<TokenId> tokens = model.random_tokens(100, 5);
    for (const KvFormat format : kFormats) {
      const auto fast = model.load({.kv_format = format});
      const auto reference = model.load({.precision = CpuPrecision::kReference, .kv_format = format});
      const Logits a = all_logits(*fast, tokens, 64, pages_from(0, 4));
      const Logits b = all_logits(*reference, tokens, 64, pages_from(0, 4));
      EXPECT_LT(relative_distance(a, b), shape.bits == 0 ? 2e-3 : 3e-2) << to_string(format);
    }
  }
}

TEST(CpuBackend, SixteenBitActivationsAreAsGoodAsTheReference) {
  for (const SyntheticModelOptions& shape : all_shapes()) {
    const SyntheticModel model(shape);
    const std::vector<TokenId> tokens = model.random_tokens(100, 5);
    const auto load = [&](CpuPrecision precision) {
      return model.load({.precision = precision, .kv_format = KvFormat::kFloat32, .activation_bits = 16});
    };
    const Logits a = all_logits(*load(CpuPrecision::kFast), tokens, 64, pages_from(0, 4));
    const Logits b = all_logits(*load(CpuPrecision::kReference), tokens, 64, pages_from(0, 4));
    EXPECT_LT(relative_distance(a, b), 3e-4);
  }
}

TEST(CpuBackend, TheReferenceDoesNotDependOnChunksEither) {
  const SyntheticModel model;
  const std::vector<TokenId> tokens = model.random_tokens(90, 2);
  const auto backend = model.load({.precision = CpuPrecision::kReference});
  const Logits expected = all_logits(*backend, tokens, 90, pages_from(0, 3));
  for (const std::int32_t chunk : {1, 7, 32}) {
    EXPECT_TRUE(same_bits(all_logits(*backend, tokens, chunk, pages_from(5, 3)), expected)) << chunk;
  }
}

TEST(CpuBackend, CopiedPagesContinueASequence) {
  const SyntheticModel model;
  const auto backend = model.load();
  const std::vector<TokenId> tokens = model.random_tokens(60, 9);
  const Logits expected = all_logits(*backend, tokens, 64, pages_from(0, 2));
  ScriptedSequence original{tokens, pages_from(10, 2)};
  const StepPart prefix{&original, 45, WhichLogits::kNone};
  ASSERT_TRUE(run_step(*backend, std::span(&prefix, 1)).ok());
  const PageCopy copies[] = {{10, 31}, {11, 30}};
  ASSERT_TRUE(backend->copy_pages(0, copies).ok());
  // Growing the memory and the original's own progress must not show.
  ASSERT_TRUE(backend->resize_pages(0, 300).ok());
  ScriptedSequence copy{tokens, {31, 30}, 45};
  original.tokens.resize(45);
  for (int i = 0; i < 15; ++i) original.tokens.push_back(1);
  const StepPart both[] = {{&original, 15, WhichLogits::kNone}, {&copy, 15, WhichLogits::kAll}};
  const Result<StepResult> result = run_step(*backend, both);
  ASSERT_TRUE(result.ok());
  const Logits tail(expected.end() - static_cast<std::ptrdiff_t>(result->logits.size()), expected.end());
  EXPECT_TRUE(same_bits(result->logits, tail));
}

TEST(CpuBackend, AStepCanTakeWhatThePreviousOneSampled) {
  const SyntheticModel model;
  const auto backend = model.load();
  std::vector<TokenId> tokens = model.random_tokens(20, 13);
  ScriptedSequence sequence{tokens, pages_from(0, 2)};
  const StepPart prompt{&sequence, 20, WhichLogits::kLast};
  const Result<StepResult> first = run_step(*backend, std::span(&prompt, 1), {});
  ASSERT_TRUE(first.ok());
  tokens.push_back(first->samples[0].token);
  const Logits expected = all_logits(*backend, tokens, 64, pages_from(4, 2));

  // Again, the second step submitted before the first is collected.
  sequence = {tokens, pages_from(8, 2)};
  const SampleSpec spec{.want_logits = true};
  const StepBatch batch = make_batch(std::span(&prompt, 1), spec);
  const Result<Backend::StepHandle> one = backend->submit(batch);
  ASSERT_TRUE(one.ok());
  sequence.done = 20;
  const StepPart next{&sequence, 1, WhichLogits::kLast};
  StepBatch ahead = make_batch(std::span(&next, 1), spec);
  ahead.tokens[0] = TokenInput::previous_sample(0);
  const Result<Backend::StepHandle> two = backend->submit(ahead);
  ASSERT_TRUE(two.ok());
  StepResult result;
  ASSERT_TRUE(backend->collect(*one, result).ok());
  EXPECT_EQ(result.samples[0].token, tokens.back());
  ASSERT_TRUE(backend->collect(*two, result).ok());
  const Logits tail(expected.end() - backend->info().vocab_size, expected.end());
  EXPECT_TRUE(same_bits(result.logits, tail));
}

TEST(CpuBackend, PlainGreedyRowsChooseWhatTheSamplerChooses) {
  const SyntheticModel model;
  const auto backend = model.load();
  const std::vector<TokenId> tokens = model.random_tokens(40, 17);
  for (const bool with_logprobs : {false, true}) {
    ScriptedSequence sequence{tokens, pages_from(0, 2)};
    SampleSpec spec{.want_logits = true};
    spec.logprob = with_logprobs;
    spec.top_logprobs = with_logprobs ? 3 : 0;
    const StepPart part{&sequence, 40, WhichLogits::kAll};
    const Result<StepResult> result = run_step(*backend, std::span(&part, 1), spec);
    ASSERT_TRUE(result.ok());
    ASSERT_EQ(result->samples.size(), 40U);
    for (std::size_t row = 0; row < 40; ++row) {
      const auto begin =
          result->logits.begin() + static_cast<std::ptrdiff_t>(row) * backend->info().vocab_size;
      const auto best = std::max_element(begin, begin + backend->info().vocab_size);
      const SampledToken& sample = result->samples[row];
      EXPECT_EQ(sample.token, best - begin);
      ASSERT_EQ(sample.num_top_logprobs, with_logprobs ? 3 : 0);
      if (!with_logprobs) continue;
      EXPECT_EQ(sample.first_top_logprob, static_cast<std::int32_t>(3 * row));
      EXPECT_EQ(result->top_logprobs[3 * row].token, sample.token);
      EXPECT_EQ(result->top_logprobs[3 * row].logprob, sample.logprob);
    }
  }
}

TEST(CpuBackend, RefusesStepsThatMakeNoSense) {
  const SyntheticModel model;
  const auto backend = model.load({.max_batch_tokens = 16, .max_batch_sequences = 2}, 4);
  const auto check = [&](const char* what, auto&& spoil) {
    ScriptedSequence sequence{model.random_tokens(8, 1), pages_from(0, 1)};
    const StepPart part{&sequence, 8, WhichLogits::kLast};
    StepBatch batch = make_batch(std::span(&part, 1), {});
    spoil(batch);
    const Result<Backend::StepHandle> handle = backend->submit(batch);
    ASSERT_FALSE(handle.ok()) << what;
    EXPECT_EQ(handle.error().kind, ErrorKind::kInternal) << what;
  };
  check("token", [](StepBatch& batch) { batch.tokens[0] = TokenInput::id(1 << 20); });
  check("previous row", [](StepBatch& batch) { batch.tokens[0] = TokenInput::previous_sample(3); });
  check("page", [](StepBatch& batch) { batch.page_ids[0] = 4; });
  check("table", [](StepBatch& batch) { batch.sequences[0].page_tables[0].count = 2; });
  check("position", [](StepBatch& batch) { batch.sequences[0].first_position = 30; });
  check("context", [](StepBatch& batch) { batch.sequences[0].first_position = 1 << 30; });
  check("cover", [](StepBatch& batch) { batch.sequences[0].num_tokens = 7; });
  check("sample", [](StepBatch& batch) { batch.samples[0].token_index = 8; });
  check("tokens", [](StepBatch& batch) { batch.tokens.resize(17, TokenInput::id(0)); });
  // And still works.
  ScriptedSequence sequence{model.random_tokens(8, 1), pages_from(0, 1)};
  const StepPart part{&sequence, 8, WhichLogits::kLast};
  EXPECT_TRUE(run_step(*backend, std::span(&part, 1)).ok());
}

TEST(CpuBackend, TakesMissingPagesBehindTheWindowOnly) {
  const SyntheticModel model(all_shapes().back());  // groups: window of 41 tokens, full
  const auto backend = model.load({}, 8);
  ASSERT_EQ(backend->info().page_groups.size(), 2U);
  EXPECT_EQ(backend->info().page_groups[0].window_tokens, 41);
  EXPECT_EQ(backend->info().page_groups[1].window_tokens, 0);
  const auto check = [&](std::int32_t position, std::vector<PageId> window, std::vector<PageId> full,
                         bool taken) {
    ScriptedSequence sequence{
        model.random_tokens(160, 1), {}, position, {std::move(window), std::move(full)}};
    const StepPart part{&sequence, 1, WhichLogits::kLast};
    EXPECT_EQ(run_step(*backend, std::span(&part, 1)).ok(), taken) << position;
  };
  const PageId none = kNoPage;
  check(72, {none, 1, 2}, {0, 1, 2}, true);   // sees 32 … 72
  check(71, {none, 1, 2}, {0, 1, 2}, false);  // sees 31
  check(104, {none, none, 2, 3}, {0, 1, 2, 3}, true);
  check(104, {none, none, none, 3}, {0, 1, 2, 3}, false);
  check(104, {none, none, 2, none}, {0, 1, 2, 3}, false);
  check(104, {none, none, 2, 3}, {none, 1, 2, 3}, false);
  check(104, {8, none, 2, 3}, {0, 1, 2, 3}, false);
  check(40, {none, 1}, {0, 1}, false);
}

/// Overwrites the first value of tensor `name` with NaN of its type (bf16 here).
void poison(const std::filesystem::path& folder, const std::string& name) {
  Result<WeightMap> weights = WeightMap::open(folder);
  ASSERT_TRUE(weights.ok());
  const TensorView* tensor = weights->find(name);
  ASSERT_NE(tensor, nullptr) << name;
  ASSERT_EQ(tensor->dtype, DType::kBF16);
  std::fstream file(folder / "model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  // The header's length and the header come first; the tensor's place in the file is its place in the
  // mapping.
  std::uint64_t header_bytes = 0;
  file.read(reinterpret_cast<char*>(&header_bytes), sizeof(header_bytes));
  const std::byte* first = tensor->data.data();
  for (const auto& [other_name, other] : weights->tensors()) first = std::min(first, other.data.data());
  file.seekp(static_cast<std::streamoff>(8 + header_bytes) + (tensor->data.data() - first));
  const std::uint16_t nan = 0x7FC0;
  file.write(reinterpret_cast<const char*>(&nan), sizeof(nan));
}

TEST(CpuBackend, RefusesNotANumberInWeightsNamingTheTensor) {
  for (const CpuPrecision precision : {CpuPrecision::kFast, CpuPrecision::kReference}) {
    for (const std::string name :
         {"model.layers.1.mlp.up_proj.scales", "model.layers.0.self_attn.k_proj.biases",
          "model.layers.1.input_layernorm.weight", "model.norm.weight", "model.embed_tokens.scales"}) {
      const SyntheticModel model;
      poison(model.path(), name);
      Result<ModelFolder> folder = ModelFolder::open(model.path());
      ASSERT_TRUE(folder.ok()) << folder.error().message;
      const Result<std::unique_ptr<CpuBackend>> backend =
          CpuBackend::load(*folder, {.precision = precision, .num_threads = 2});
      ASSERT_FALSE(backend.ok()) << name;
      EXPECT_EQ(backend.error().kind, ErrorKind::kCorruptData);
      EXPECT_NE(backend.error().message.find(name), std::string::npos) << backend.error().message;
    }
  }
}

TEST(CpuBackend, RefusesHeadSizesItHasNoKernelFor) {
  SyntheticModelOptions options;
  options.head_dim = 24;
  const SyntheticModel model(options);
  Result<ModelFolder> folder = ModelFolder::open(model.path());
  ASSERT_TRUE(folder.ok()) << folder.error().message;
  const Result<std::unique_ptr<CpuBackend>> backend = CpuBackend::load(*folder, {.num_threads = 1});
  ASSERT_FALSE(backend.ok());
  EXPECT_EQ(backend.error().kind, ErrorKind::kUnsupported);
  EXPECT_NE(backend.error().message.find("head_dim 24"), std::string::npos) << backend.error().message;
}

TEST(CpuBackend, ReportsProgressAndMemory) {
  const SyntheticModel model;
  std::vector<float> progress;
  CpuOptions options;
  options.progress = [&](float done) { progress.push_back(done); };
  const auto backend = model.load(options, 10);
  ASSERT_FALSE(progress.empty());
  EXPECT_TRUE(std::is_sorted(progress.begin(), progress.end()));
  EXPECT_EQ(progress.back(), 1.0F);
  EXPECT_GT(backend->memory().weight_bytes, 0U);
  EXPECT_EQ(backend->memory().page_bytes, 10 * backend->info().page_bytes());
  ASSERT_TRUE(backend->resize_pages(0, 300).ok());
  EXPECT_EQ(backend->memory().page_bytes, 300 * backend->info().page_bytes());
  ASSERT_TRUE(backend->resize_pages(0, 4).ok());
  EXPECT_EQ(backend->memory().page_bytes, 4 * backend->info().page_bytes());
  EXPECT_FALSE(backend->resize_pages(1, 4).ok());
}

}  // namespace
}  // namespace mlxd::testing
