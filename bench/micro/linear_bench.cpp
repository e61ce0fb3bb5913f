// Weight products as decoding and prefill use them, on the shapes of three models: bytes of weights per
// second and int8 operations per second, beside this machine's own limits measured in the same run.
//
//   linear_bench [--threads N] [--rounds N] [--isa NAME] [--bits N] [--group N] [--model NAME]
//
// Each figure is the best of a few rounds, interleaved over the row counts so that all meet the same
// disturbances. Quantization of the activations is included: all of its input once per product, as a step
// does.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "backends/cpu/linear.h"
#include "backends/cpu/linear_test_weights.h"
#include "backends/cpu/thread_pool.h"
#include "machine.h"

namespace {

using namespace mlxd;

struct Shape {
  std::int32_t out, in;
};

/// The products of one layer, and how many layers there are.
struct Model {
  std::string_view name;
  std::int32_t layers;
  std::vector<Shape> shapes;
};

const std::vector<Model>& models() {
  static const std::vector<Model> all = {
      {"SmolLM2-135M", 30, {{960, 576}, {576, 576}, {3072, 576}, {576, 1536}}},
      {"0.6B", 28, {{4096, 1024}, {1024, 2048}, {6144, 1024}, {1024, 3072}}},
      {"1B", 16, {{3072, 2048}, {2048, 2048}, {16384, 2048}, {2048, 8192}}},
  };
  return all;
}

struct Options {
  int threads = 2;
  int rounds = 3;
  Isa isa = default_isa();
  TestFormat format = {4, 64, DType::kBF16};
  std::string model;
};

constexpr std::int32_t kRowCounts[] = {1, 2, 4, 8, 12, 16, 20, 24, 32, 48, 64, 512};
constexpr std::int32_t kMaxRows = 512;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// All products of all layers once, as a step runs them.
void run_step(const std::vector<Linear>& layers, std::int32_t rows, const std::vector<float>& x,
              std::vector<float>& y, Activations& activations, ThreadPool& pool) {
  for (const Linear& linear : layers) {
    activations.reset(rows, linear.in_features(), linear.activation_forms());
    const std::int32_t groups = activations.num_groups();
    if (rows * groups < 64) {
      activations.fill(x.data(), linear.in_features(), 0, groups);
    } else {
      pool.parallel_for(groups, std::max(2, groups / 8),
                        [&](std::int64_t first, std::int64_t last, std::int32_t) {
                          activations.fill(x.data(), linear.in_features(), static_cast<std::int32_t>(first),
                                           static_cast<std::int32_t>(last));
                        });
    }
    const std::int32_t grain = std::max(2, linear.num_blocks() / 16 / 2 * 2);
    // One row's stride is no power of two, as in the executor.
    const std::ptrdiff_t stride = linear.out_features() + 16;
    pool.parallel_for(linear.num_blocks(), grain, [&](std::int64_t first, std::int64_t last, std::int32_t) {
      linear.apply(activations, static_cast<std::int32_t>(first), static_cast<std::int32_t>(last), y.data(),
                   stride);
    });
  }
}

void bench_model(const Model& model, const Options& options) {
  std::vector<Linear> layers;
  std::size_t bytes = 0;
  double products = 0;  // multiply-adds of one row
  std::int32_t widest_in = 0;
  std::int32_t widest_out = 0;
  {
    TestWeights source(1);
    std::vector<LinearSpec> specs;
    for (const Shape& shape : model.shapes) {
      specs.push_back(source.add(std::to_string(specs.size()), shape.out, shape.in, options.format));
      widest_in = std::max(widest_in, shape.in);
      widest_out = std::max(widest_out, shape.out);
    }
    const WeightMap weights = source.open();
    for (std::int32_t layer = 0; layer < model.layers; ++layer) {
      for (const LinearSpec& spec : specs) {
        auto linear = Linear::pack({&spec, 1}, weights, options.isa);
        if (!linear.ok()) {
          std::fprintf(stderr, "%s\n", linear.error().message.c_str());
          std::exit(1);
        }
        bytes += linear->memory_bytes();
        products += double(spec.in_features) * double(spec.out_features);
        layers.push_back(linear.take_value());
      }
    }
  }
  std::vector<float> x(static_cast<std::size_t>(kMaxRows) * static_cast<std::size_t>(widest_in));
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(static_cast<int>(i * 7919 % 2001) - 1000) / 500.0F;
  std::vector<float> y(static_cast<std::size_t>(kMaxRows) * static_cast<std::size_t>(widest_out + 16));
  Activations activations(kMaxRows, widest_in, options.isa);
  ThreadPool pool(options.threads);

  std::vector<std::vector<double>> seconds(std::size(kRowCounts));
  for (int round = 0; round < options.rounds; ++round) {
    for (std::size_t i = 0; i < std::size(kRowCounts); ++i) {
      const auto start = std::chrono::steady_clock::now();
      run_step(layers, kRowCounts[i], x, y, activations, pool);
      seconds[i].push_back(seconds_since(start));
    }
  }
  const double read = bench::read_bandwidth_gb_per_s(options.threads);
  const double peak = bench::int8_dot_gop_per_s(options.threads);
  const double gigabytes = static_cast<double>(bytes) / 1e9;
  std::printf("%.*s, %s: %.0f MB; read %.1f GB/s, int8 %.0f Gop/s, barrier %.2f us\n",
              static_cast<int>(model.name.size()), model.name.data(), describe(options.format).c_str(),
              gigabytes * 1e3, read, peak, bench::barrier_us());
  std::printf("  rows       ms     best  x1 row   GB/s  of read   Gop/s  of int8   rows/s\n");
  for (std::vector<double>& rounds : seconds) std::sort(rounds.begin(), rounds.end());
  const double one_row = seconds.front()[seconds.front().size() / 2];
  for (std::size_t i = 0; i < std::size(kRowCounts); ++i) {
    const double rows = kRowCounts[i];
    const double median = seconds[i][seconds[i].size() / 2];
    const double gop = 2e-9 * products * rows / median;
    std::printf("  %4.0f %8.2f %8.2f %7.2f %6.1f  %6.0f%% %7.0f  %6.0f%% %8.0f\n", rows, median * 1e3,
                seconds[i].front() * 1e3, median / one_row, gigabytes / median,
                100 * gigabytes / median / read, gop, peak > 0 ? 100 * gop / peak : 0.0, rows / median);
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
    if (name == "--bits") options.format.bits = std::atoi(value);
    if (name == "--group") options.format.group_size = std::atoi(value);
    if (name == "--model") options.model = value;
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
  for (const Model& model : models()) {
    if (options.model.empty() || options.model == model.name) bench_model(model, options);
  }
  return 0;
}
