#include "backends/cpu/machine_limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "backends/cpu/memory.h"
#include "backends/cpu/multiply_loops.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace mlxd {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRounds = 5;
constexpr std::size_t kReadBytes = std::size_t{512} << 20U;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Runs work(thread_index) on `threads` threads that start together; returns seconds until the last has
/// finished.
double timed(int threads, const std::function<void(int)>& work) {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::vector<std::thread> others;
  for (int index = 1; index < threads; ++index) {
    others.emplace_back([&, index] {
      ready.fetch_add(1);
      while (!go.load(std::memory_order_acquire)) {
      }
      work(index);
    });
  }
  while (ready.load() < threads - 1) {
  }
  const auto start = Clock::now();
  go.store(true, std::memory_order_release);
  work(0);
  for (std::thread& thread : others) thread.join();
  return seconds_since(start);
}

struct Extensions {
  bool bf16 = false;
  bool int8_matrix = false;
  bool bf16_matrix = false;
};

#if defined(__x86_64__)

/// Linux gives the tile registers to a process that has asked for them.
bool may_use_tiles() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

Extensions machine_extensions() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  Extensions has;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return has;
  const bool tiles = ((edx >> 24U) & 1U) != 0 && may_use_tiles();
  has.bf16_matrix = tiles && ((edx >> 22U) & 1U) != 0;
  has.int8_matrix = tiles && ((edx >> 25U) & 1U) != 0;
  if (__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0) has.bf16 = ((eax >> 5U) & 1U) != 0;
  return has;
}

#elif defined(__aarch64__) && defined(__linux__)

Extensions machine_extensions() {
  constexpr unsigned long kBf16 = 1UL << 14U;  // HWCAP2_BF16
  Extensions has;
  has.bf16 = (getauxval(AT_HWCAP2) & kBf16) != 0;
  return has;
}

#elif defined(__aarch64__) && defined(__APPLE__)

Extensions machine_extensions() {
  int value = 0;
  std::size_t size = sizeof value;
  Extensions has;
  has.bf16 = sysctlbyname("hw.optional.arm.FEAT_BF16", &value, &size, nullptr, 0) == 0 && value != 0;
  return has;
}

#else

Extensions machine_extensions() { return {}; }

#endif

MultiplyLoops loops_of(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kAvx2:
    case Isa::kAvxVnni:
      return avx2_multiply_loops();
    case Isa::kAvx512Vnni:
    case Isa::kAmx:
      return avx512_multiply_loops();
#elif defined(__aarch64__)
    case Isa::kNeon:
    case Isa::kNeonI8mm:
      return neon_multiply_loops();
#endif
    default:
      return {};
  }
}

void read_plain(const std::byte* data, std::size_t size) {
  std::uint64_t sums[8] = {};
  for (std::size_t i = 0; i + sizeof sums <= size; i += sizeof sums) {
    std::uint64_t words[8];
    std::memcpy(words, data + i, sizeof words);
    for (int k = 0; k < 8; ++k) sums[k] ^= words[k];
  }
  // Keeps the result alive.
  asm volatile("" : : "g"(&sums) : "memory");
}

/// Best rate over the rounds, 10^9 operations per second; a round takes some milliseconds.
double best_rate(int threads, const MultiplyLoop& loop) {
  if (loop.run == nullptr) return 0.0;
  constexpr double kRoundOperations = 2e9;
  const auto iterations = static_cast<std::int64_t>(kRoundOperations / loop.operations);
  double best = 0.0;
  for (int round = 0; round < kRounds; ++round) {
    const double seconds = timed(threads, [&](int) { loop.run(iterations); });
    best = std::max(best, loop.operations * static_cast<double>(iterations) * threads / seconds / 1e9);
  }
  return best;
}

}  // namespace

double read_bandwidth_gb_per_s(int threads) {
  Result<MemoryRegion> memory = MemoryRegion::create(kReadBytes);
  if (!memory.ok()) return 0.0;
  std::memset(memory->data(), 1, kReadBytes);
  const MultiplyLoops loops = loops_of(available_isas().back());
  const auto read = loops.read != nullptr ? loops.read : read_plain;
  const std::size_t share = kReadBytes / static_cast<std::size_t>(threads);
  double best = 0.0;
  for (int round = 0; round < kRounds; ++round) {
    const double seconds = timed(
        threads, [&](int index) { read(memory->data() + share * static_cast<std::size_t>(index), share); });
    best = std::max(best, static_cast<double>(share) * threads / seconds / 1e9);
  }
  return best;
}

double barrier_us(int threads) {
  constexpr int kCrossings = 20'000;
  const int num_threads = std::max(threads, 2);
  alignas(128) std::atomic<int> arrived{0};
  alignas(128) std::atomic<int> phase{0};
  double best = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    const double seconds = timed(num_threads, [&](int) {
      for (int i = 0; i < kCrossings; ++i) {
        const int current = phase.load(std::memory_order_acquire);
        if (arrived.fetch_add(1) + 1 == num_threads) {
          arrived.store(0, std::memory_order_relaxed);
          phase.fetch_add(1, std::memory_order_release);
        } else {
          while (phase.load(std::memory_order_acquire) == current) {
          }
        }
      }
    });
    best = std::min(best, seconds * 1e6 / kCrossings);
  }
  return best;
}

MultiplyRates multiply_rates(Isa isa, int threads) {
  const MultiplyLoops loops = loops_of(isa == Isa::kScalar ? available_isas().back() : isa);
  static const Extensions has = machine_extensions();
  MultiplyRates rates;
  rates.int8 = best_rate(threads, loops.int8);
  rates.fp32 = best_rate(threads, loops.fp32);
  if (has.bf16) rates.bf16 = best_rate(threads, loops.bf16);
  if (has.int8_matrix) rates.int8_matrix = best_rate(threads, loops.int8_matrix);
  if (has.bf16_matrix) rates.bf16_matrix = best_rate(threads, loops.bf16_matrix);
  return rates;
}

MachineLimits measure_machine(int threads) {
  const Isa isa = available_isas().back();
  MachineLimits limits;
  limits.threads = threads;
  limits.read_gb_per_s_1 = read_bandwidth_gb_per_s(1);
  limits.read_gb_per_s = threads == 1 ? limits.read_gb_per_s_1 : read_bandwidth_gb_per_s(threads);
  limits.barrier_us = barrier_us(threads);
  limits.rates_1 = multiply_rates(isa, 1);
  limits.rates = threads == 1 ? limits.rates_1 : multiply_rates(isa, threads);
  return limits;
}

}  // namespace mlxd
