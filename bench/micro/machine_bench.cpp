// Prints this machine's limits, one line each; --json for one object. Run by script/bench machine.
//
//   machine_bench [--json] [THREADS]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "backends/cpu/machine_limits.h"

namespace {

using mlxd::MachineLimits;

void print_json(const MachineLimits& limits) {
  std::printf(
      "{\"threads\": %d, \"read_gb_per_s_1\": %.1f, \"read_gb_per_s\": %.1f, \"barrier_us\": %.2f, "
      "\"int8_gop_per_s_1\": %.0f, \"int8_gop_per_s\": %.0f, \"bf16_gflop_per_s_1\": %.0f, "
      "\"bf16_gflop_per_s\": %.0f, \"fp32_gflop_per_s_1\": %.0f, \"fp32_gflop_per_s\": %.0f, "
      "\"int8_matrix_gop_per_s_1\": %.0f, \"int8_matrix_gop_per_s\": %.0f, "
      "\"bf16_matrix_gflop_per_s_1\": %.0f, \"bf16_matrix_gflop_per_s\": %.0f}\n",
      limits.threads, limits.read_gb_per_s_1, limits.read_gb_per_s, limits.barrier_us, limits.rates_1.int8,
      limits.rates.int8, limits.rates_1.bf16, limits.rates.bf16, limits.rates_1.fp32, limits.rates.fp32,
      limits.rates_1.int8_matrix, limits.rates.int8_matrix, limits.rates_1.bf16_matrix,
      limits.rates.bf16_matrix);
}

/// What the machine lacks is left out.
void print_rate(const char* name, double one, double all, const char* unit) {
  if (all > 0.0) std::printf("%-22s %10.0f %12.0f  %s\n", name, one, all, unit);
}

void print_table(const MachineLimits& limits) {
  std::printf("%-22s %10s %8d threads\n", "", "1 thread", limits.threads);
  std::printf("%-22s %10.1f %12.1f  GB/s\n", "read", limits.read_gb_per_s_1, limits.read_gb_per_s);
  print_rate("int8 dot", limits.rates_1.int8, limits.rates.int8, "Gop/s");
  print_rate("bf16 dot", limits.rates_1.bf16, limits.rates.bf16, "Gflop/s");
  print_rate("fp32 multiply-add", limits.rates_1.fp32, limits.rates.fp32, "Gflop/s");
  print_rate("int8 matrix unit", limits.rates_1.int8_matrix, limits.rates.int8_matrix, "Gop/s");
  print_rate("bf16 matrix unit", limits.rates_1.bf16_matrix, limits.rates.bf16_matrix, "Gflop/s");
  std::printf("%-22s %10s %12.2f  us\n", "barrier", "", limits.barrier_us);
}

}  // namespace

int main(int argc, char** argv) {
  bool json = false;
  int threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--json") == 0) {
      json = true;
    } else {
      threads = std::max(1, std::atoi(argv[i]));
    }
  }
  const MachineLimits limits = mlxd::measure_machine(threads);
  json ? print_json(limits) : print_table(limits);
  return 0;
}
