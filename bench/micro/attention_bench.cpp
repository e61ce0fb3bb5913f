// Attention over K/V pages as decoding and prefill use it, for each page format: bytes of K/V per second and
// fp32 operations per second, beside this machine's own limits measured in the same run.
//
//   attention_bench [--threads N] [--rounds N] [--isa NAME] [--context N] [--window N]
//
// The shape is a 1B model's: 16 layers of 8 K/V heads, 4 query heads to each, of 64 elements; pages lie in
// random order. Each figure is the median of a few rounds, interleaved over the formats so that all meet the
// same disturbances.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string_view>
#include <vector>

#include "backends/cpu/attention.h"
#include "backends/cpu/machine_limits.h"
#include "backends/cpu/thread_pool.h"

namespace {

using namespace mlxd;
using Clock = std::chrono::steady_clock;

constexpr std::int32_t kLayers = 16;
constexpr std::int32_t kKvHeads = 8;
constexpr std::int32_t kHeads = 32;
constexpr std::int32_t kHeadDim = 64;
constexpr std::int32_t kPrefillTokens = 512;
constexpr KvFormat kFormats[] = {KvFormat::kFloat32, KvFormat::kFloat16, KvFormat::kBFloat16,
                                 KvFormat::kInt8};

struct Options {
  int threads = 2;
  int rounds = 7;
  Isa isa = default_isa();
  std::int32_t context = 4096;
  std::int32_t window = 0;
};

/// The K/V of one sequence in one format.
class Scene {
 public:
  Scene(KvFormat format, const Options& options)
      : options_(options),
        pages_({.num_layers = kLayers, .num_kv_heads = kKvHeads, .head_dim = kHeadDim}, format),
        attention_({.kernels = &vector_kernels(options.isa),
                    .pages = &pages_,
                    .window_tokens = options.window,
                    .num_threads = options.threads,
                    .max_batch_tokens = kPrefillTokens,
                    .max_batch_sequences = 1,
                    .context_tokens = options.context,
                    .num_heads = kHeads,
                    .num_kv_heads = kKvHeads,
                    .head_dim = kHeadDim}) {
    const std::int32_t num_pages = (options.context + kPageTokens - 1) / kPageTokens;
    if (!pages_.resize(num_pages).ok()) std::exit(1);
    for (std::int32_t i = 0; i < num_pages; ++i) batch_.page_ids.push_back(static_cast<PageId>(i));
    std::mt19937 generator(1);
    std::shuffle(batch_.page_ids.begin(), batch_.page_ids.end(), generator);
    std::normal_distribution<float> normal;
    std::vector<float> element(kHeadDim);
    for (const PageId page : batch_.page_ids) {
      for (std::int32_t slot = 0; slot < kPageTokens; ++slot) {
        for (float& x : element) x = normal(generator) / 8;
        for (std::int32_t block = 0; block < kLayers * kKvHeads; ++block) {
          std::byte* to = pages_.block(page, block / kKvHeads, block % kKvHeads);
          write_key(vector_kernels(options.isa), pages_.layout(), to, slot, element.data());
          write_value(vector_kernels(options.isa), pages_.layout(), to, slot, element.data());
        }
      }
    }
    queries_.resize(static_cast<std::size_t>(kPrefillTokens * kHeads * kHeadDim), 0.5F);
    out_.resize(queries_.size());
  }

  /// Seconds of all layers' attention for the last `num_tokens` tokens of the context.
  double run(std::int32_t num_tokens, ThreadPool& pool) {
    BatchSequence sequence;
    sequence.num_tokens = num_tokens;
    sequence.first_position = options_.context - num_tokens;
    sequence.page_tables[0] = {0, static_cast<std::int32_t>(batch_.page_ids.size())};
    batch_.sequences = {sequence};
    positions_.clear();
    for (std::int32_t t = 0; t < num_tokens; ++t) positions_.push_back(sequence.first_position + t);
    sequence_indices_.assign(positions_.size(), 0);
    const StepInput step{&batch_, batch_.sequences, {}, positions_, sequence_indices_};
    AttentionSpec spec;
    spec.num_heads = kHeads;
    spec.num_kv_heads = kKvHeads;
    spec.head_dim = kHeadDim;
    const AttentionLayer layer{&spec, queries_.data(), kHeads * kHeadDim, out_.data()};
    const auto start = Clock::now();
    attention_.plan(step, spec);
    pool.run([&](std::int32_t thread) {
      for (std::int32_t i = 0; i < kLayers; ++i) {
        if (thread == 0) spec.index_in_group = i;
        pool.barrier();
        pool.share(thread, attention_.num_items(), 1, [&](std::int64_t item, std::int64_t, std::int32_t) {
          attention_.run(static_cast<std::int32_t>(item), step, layer, thread);
        });
        pool.barrier();
      }
    });
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  /// Keys that `num_tokens` last tokens see, and how many different ones.
  double seen_keys(std::int32_t num_tokens) const {
    double keys = 0;
    for (std::int32_t t = 0; t < num_tokens; ++t) keys += std::min(options_.context - t, window());
    return keys;
  }
  double bytes(std::int32_t num_tokens) const {
    const std::int32_t keys = std::min(options_.context, window() + num_tokens - 1);
    return static_cast<double>(pages_.page_bytes()) * keys / kPageTokens;
  }

 private:
  std::int32_t window() const { return options_.window > 0 ? options_.window : options_.context; }

  const Options options_;
  KvPages pages_;
  PagedAttention attention_;
  StepBatch batch_;
  std::vector<std::int32_t> positions_, sequence_indices_;
  std::vector<float> queries_, out_;
};

void measure(const Options& options) {
  std::vector<std::unique_ptr<Scene>> scenes;
  for (const KvFormat format : kFormats) scenes.push_back(std::make_unique<Scene>(format, options));
  ThreadPool pool(options.threads);
  const double read = read_bandwidth_gb_per_s(options.threads);
  const double peak = multiply_rates(options.isa, options.threads).fp32;
  std::printf("context %d, window %d; read %.1f GB/s, fp32 %.0f Gflop/s, barrier %.2f us\n", options.context,
              options.window, read, peak, barrier_us());
  std::printf("  tokens  pages      MB       ms   us a layer   GB/s  of read   Gflop/s  of fp32\n");
  for (const std::int32_t num_tokens : {1, 16, 64, kPrefillTokens}) {
    if (num_tokens > options.context) continue;
    std::vector<std::vector<double>> seconds(scenes.size());
    for (int round = 0; round < options.rounds; ++round) {
      for (std::size_t i = 0; i < scenes.size(); ++i) seconds[i].push_back(scenes[i]->run(num_tokens, pool));
    }
    for (std::size_t i = 0; i < scenes.size(); ++i) {
      std::sort(seconds[i].begin(), seconds[i].end());
      const double median = seconds[i][seconds[i].size() / 2];
      const double gigabytes = scenes[i]->bytes(num_tokens) / 1e9;
      const double gflop = 4e-9 * scenes[i]->seen_keys(num_tokens) * kHeads * kHeadDim * kLayers;
      std::printf("  %6d  %5s  %6.1f  %7.2f  %11.1f  %5.1f  %6.0f%%  %8.0f  %6.0f%%\n", num_tokens,
                  to_string(kFormats[i]).data(), gigabytes * 1e3, median * 1e3, median * 1e6 / kLayers,
                  gigabytes / median, 100 * gigabytes / median / read, gflop / median,
                  100 * gflop / median / peak);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const char* value = argv[i + 1];
    if (name == "--threads") options.threads = std::max(1, std::atoi(value));
    if (name == "--rounds") options.rounds = std::max(1, std::atoi(value));
    if (name == "--context") options.context = std::max(1, std::atoi(value));
    if (name == "--window") options.window = std::max(0, std::atoi(value));
    if (name == "--isa") {
      const auto isa = parse_isa(value);
      if (!isa.ok()) {
        std::fprintf(stderr, "%s\n", isa.error().message.c_str());
        return 2;
      }
      options.isa = *isa;
    }
  }
  std::printf("%.*s, %d threads, median of %d rounds\n", static_cast<int>(to_string(options.isa).size()),
              to_string(options.isa).data(), options.threads, options.rounds);
  measure(options);
  return 0;
}
