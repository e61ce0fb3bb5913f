// Prints this machine's limits, one line each; --json for one object. Run by script/bench machine.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "machine.h"

int main(int argc, char** argv) {
  using namespace mlxd::bench;
  const int threads = argc > 1 && std::strcmp(argv[argc - 1], "--json") != 0
                          ? std::max(1, std::atoi(argv[argc - 1]))
                          : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  const bool json = argc > 1 && std::strcmp(argv[1], "--json") == 0;
  const char* format =
      json ? "{\"threads\": %d, \"read_gb_per_s_1\": %.1f, \"read_gb_per_s\": %.1f, \"barrier_us\": %.2f, "
             "\"int8_gop_per_s_1\": %.0f, \"int8_gop_per_s\": %.0f, \"fp32_gflop_per_s_1\": %.0f, "
             "\"fp32_gflop_per_s\": %.0f}\n"
           : "threads                 %d\nread, 1 thread          %.1f GB/s\nread, all threads       %.1f "
             "GB/s\n"
             "barrier of 2 threads    %.2f us\nint8 dot, 1 thread      %.0f Gop/s\n"
             "int8 dot, all threads   %.0f Gop/s\nfp32 fma, 1 thread      %.0f Gflop/s\n"
             "fp32 fma, all threads   %.0f Gflop/s\n";
  std::printf(format, threads, read_bandwidth_gb_per_s(1), read_bandwidth_gb_per_s(threads), barrier_us(),
              int8_dot_gop_per_s(1), int8_dot_gop_per_s(threads), fp32_fma_gflop_per_s(1),
              fp32_fma_gflop_per_s(threads));
  return 0;
}
