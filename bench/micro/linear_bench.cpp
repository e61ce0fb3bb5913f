// Weight products as decoding and prefill use them, on the shapes of three models: bytes of weights per
// second and int8 operations per second, beside this machine's own limits measured in the same run.
//
//   linear_bench [--threads N] [--rounds N] [--isa NAME] [--format NAME] [--model NAME] [--rows N,N…]
//
// Formats: mxfp4, mxfp8, nvfp4, fp16, bf16, fp32, or affine codes as BITS (groups of 64) or BITSgGROUP: 4,
// 6g32. `all`: every one. Products of integers (affine, mxfp4, nvfp4) are held against the int8 peak, the
// others against the fp32 one, and all of them against the read test; "of limit" is the share of whichever
// binds.
//
// Each figure is the best of a few rounds, interleaved over the row counts so that all meet the same
// disturbances. Quantization of the activations is included: all of its input once per product, as a step
// does. As there, outputs go in pieces to a small buffer of each thread, where they would be consumed.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "backends/cpu/linear.h"
#include "backends/cpu/linear_test_weights.h"
#include "backends/cpu/machine_limits.h"
#include "backends/cpu/thread_pool.h"

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
  std::vector<TestFormat> formats = {{4, 64, DType::kBF16}};
  std::string model;
  std::vector<std::int32_t> row_counts = {1, 2, 4, 8, 12, 16, 20, 24, 32, 48, 64, 512};
};

constexpr std::int32_t kMaxRows = 512;
constexpr std::int32_t kPieceFloats = 16384;
constexpr std::int32_t kRowPadding = 16;  // one row's stride is no power of two

std::optional<int> integer(std::string_view text) {
  int value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end.ec != std::errc() || end.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<TestFormat> parse_format(std::string_view name) {
  if (name == "mxfp4") return kMxfp4Format;
  if (name == "mxfp8") return kMxfp8Format;
  if (name == "nvfp4") return kNvfp4Format;
  if (name == "fp16") return TestFormat{0, 0, DType::kF16};
  if (name == "bf16") return TestFormat{0, 0, DType::kBF16};
  if (name == "fp32") return TestFormat{0, 0, DType::kF32};
  const std::size_t separator = std::min(name.find('g'), name.size());
  const std::optional<int> bits = integer(name.substr(0, separator));
  std::optional<int> group = 64;
  if (separator < name.size()) group = integer(name.substr(separator + 1));
  if (!bits || *bits < 2 || *bits > 8 || *bits == 7) return std::nullopt;
  if (group != 32 && group != 64 && group != 128) return std::nullopt;
  return TestFormat{*bits, *group, DType::kBF16};
}

std::vector<TestFormat> all_formats() {
  std::vector<TestFormat> formats;
  for (const char* name :
       {"2", "3", "4g32", "4", "4g128", "5", "6", "8", "mxfp4", "nvfp4", "mxfp8", "bf16", "fp32"}) {
    formats.push_back(*parse_format(name));
  }
  return formats;
}

bool is_integer(const TestFormat& format) {
  return format.bits != 0 && format.mode != QuantizationMode::kMxfp8;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// All products of all layers once, as a step runs them.
void run_step(const std::vector<Linear>& layers, std::int32_t rows, const std::vector<float>& x,
              std::vector<std::vector<float>>& y, Activations& activations, ThreadPool& pool) {
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
    // In pairs of blocks.
    const std::int32_t balanced = linear.num_blocks() / (8 * pool.num_threads());
    const std::int32_t cached = kPieceFloats / (rows * 2 * kBlockRows);
    const std::int32_t grain = std::max(1, std::min(balanced, cached));
    pool.parallel_for(
        (linear.num_blocks() + 1) / 2, grain, [&](std::int64_t begin, std::int64_t end, std::int32_t thread) {
          const auto first = static_cast<std::int32_t>(2 * begin);
          const std::int32_t last = std::min(static_cast<std::int32_t>(2 * end), linear.num_blocks());
          const std::ptrdiff_t stride = (last - first) * kBlockRows + kRowPadding;
          // The address that column 0 would have.
          float* piece = y[static_cast<std::size_t>(thread)].data();
          auto* column_zero =
              reinterpret_cast<float*>(reinterpret_cast<std::uintptr_t>(piece) -
                                       static_cast<std::uintptr_t>(linear.block_row(first)) * sizeof(float));
          linear.apply(activations, first, last, column_zero, stride);
        });
  }
}

void bench_model(const Model& model, const TestFormat& format, const Options& options) {
  std::vector<Linear> layers;
  std::size_t bytes = 0;
  double products = 0;  // multiply-adds of one row
  std::int32_t widest_in = 0;
  std::int32_t widest_out = 0;
  {
    TestWeights source(1);
    std::vector<LinearSpec> specs;
    for (const Shape& shape : model.shapes) {
      specs.push_back(source.add(std::to_string(specs.size()), shape.out, shape.in, format));
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
  std::vector<std::vector<float>> y(
      static_cast<std::size_t>(options.threads),
      std::vector<float>(kPieceFloats + static_cast<std::size_t>(widest_out) + kMaxRows * kRowPadding));
  Activations activations(kMaxRows, widest_in, options.isa);
  ThreadPool pool(options.threads);

  const std::vector<std::int32_t>& row_counts = options.row_counts;
  std::vector<std::vector<double>> seconds(row_counts.size());
  for (int round = 0; round < options.rounds; ++round) {
    for (std::size_t i = 0; i < row_counts.size(); ++i) {
      const auto start = std::chrono::steady_clock::now();
      run_step(layers, row_counts[i], x, y, activations, pool);
      seconds[i].push_back(seconds_since(start));
    }
  }
  const double read = read_bandwidth_gb_per_s(options.threads);
  const MultiplyRates rates = multiply_rates(options.isa, options.threads);
  const bool integers = is_integer(format);
  const double peak = integers ? rates.int8 : rates.fp32;
  const double matrix_peak = integers ? rates.int8_matrix : rates.bf16_matrix;
  const double gigabytes = static_cast<double>(bytes) / 1e9;
  std::printf("%.*s, %s: %.0f MB; read %.1f GB/s, %s %.0f Gop/s, matrix unit %.0f Gop/s, barrier %.2f us\n",
              static_cast<int>(model.name.size()), model.name.data(), describe(format).c_str(),
              gigabytes * 1e3, read, integers ? "int8" : "fp32", peak, matrix_peak, barrier_us());
  std::printf(
      "  rows       ms     best  x1 row   GB/s  of read   Gop/s  of %s  of limit  of matrix   rows/s\n",
      integers ? "int8" : "fp32");
  for (std::vector<double>& rounds : seconds) std::sort(rounds.begin(), rounds.end());
  const double one_row = seconds.front()[seconds.front().size() / 2];
  for (std::size_t i = 0; i < row_counts.size(); ++i) {
    const double rows = row_counts[i];
    const double median = seconds[i][seconds[i].size() / 2];
    const double gop = 2e-9 * products * rows / median;
    const double of_read = 100 * gigabytes / median / read;
    const double of_peak = peak > 0 ? 100 * gop / peak : 0.0;
    std::printf("  %4.0f %8.2f %8.2f %7.2f %6.1f  %6.0f%% %7.0f  %6.0f%%   %6.0f%%  %8.1f%% %8.0f\n", rows,
                median * 1e3, seconds[i].front() * 1e3, median / one_row, gigabytes / median, of_read, gop,
                of_peak, std::max(of_read, of_peak), matrix_peak > 0 ? 100 * gop / matrix_peak : 0.0,
                rows / median);
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
    if (name == "--format") {
      const auto format = parse_format(value);
      if (!format && std::string_view(value) != "all") {
        std::fprintf(
            stderr,
            "unknown format '%s'; use mxfp4, mxfp8, nvfp4, fp16, bf16, fp32, BITS, BITSgGROUP or all\n",
            value);
        return 2;
      }
      options.formats = format ? std::vector<TestFormat>{*format} : all_formats();
    }
    if (name == "--rows") {
      options.row_counts.clear();
      for (std::string_view rest = value; !rest.empty();) {
        const std::size_t comma = std::min(rest.find(','), rest.size());
        const std::optional<int> rows = integer(rest.substr(0, comma));
        if (!rows || *rows < 1 || *rows > kMaxRows) {
          std::fprintf(stderr, "rows '%s': use numbers from 1 to %d\n", value, kMaxRows);
          return 2;
        }
        options.row_counts.push_back(*rows);
        rest.remove_prefix(std::min(comma + 1, rest.size()));
      }
    }
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
    if (!options.model.empty() && options.model != model.name) continue;
    for (const TestFormat& format : options.formats) bench_model(model, format, options);
  }
  return 0;
}
