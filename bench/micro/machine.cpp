#include "machine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace mlxd::bench {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Runs work(thread_index) on `threads` threads that start together; returns seconds until the last has
// finished.
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

// Keeps a result alive without a store the compiler could hoist.
template <typename T>
void keep(const T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

constexpr int kRounds = 5;

// Eight independent chains are enough for latency 4 at two instructions a cycle. They are named variables,
// not an array, which the compiler would keep on the stack.
#if defined(__x86_64__)
__attribute__((target("avx512f,avx512vnni"))) void dot_avx512(std::int64_t iterations) {
  __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
  const __m512i a = _mm512_set1_epi8(3);
  const __m512i b = _mm512_set1_epi8(-2);
  for (std::int64_t i = 0; i < iterations; ++i) {
    s0 = _mm512_dpbusd_epi32(s0, a, b);
    s1 = _mm512_dpbusd_epi32(s1, a, b);
    s2 = _mm512_dpbusd_epi32(s2, a, b);
    s3 = _mm512_dpbusd_epi32(s3, a, b);
    s4 = _mm512_dpbusd_epi32(s4, a, b);
    s5 = _mm512_dpbusd_epi32(s5, a, b);
    s6 = _mm512_dpbusd_epi32(s6, a, b);
    s7 = _mm512_dpbusd_epi32(s7, a, b);
    asm volatile("" : "+v"(s0), "+v"(s1), "+v"(s2), "+v"(s3), "+v"(s4), "+v"(s5), "+v"(s6), "+v"(s7));
  }
}
__attribute__((target("avx512f"))) void fma_avx512(std::int64_t iterations) {
  __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
  const __m512 a = _mm512_set1_ps(1.0F);
  for (std::int64_t i = 0; i < iterations; ++i) {
    s0 = _mm512_fmadd_ps(a, a, s0);
    s1 = _mm512_fmadd_ps(a, a, s1);
    s2 = _mm512_fmadd_ps(a, a, s2);
    s3 = _mm512_fmadd_ps(a, a, s3);
    s4 = _mm512_fmadd_ps(a, a, s4);
    s5 = _mm512_fmadd_ps(a, a, s5);
    s6 = _mm512_fmadd_ps(a, a, s6);
    s7 = _mm512_fmadd_ps(a, a, s7);
    asm volatile("" : "+v"(s0), "+v"(s1), "+v"(s2), "+v"(s3), "+v"(s4), "+v"(s5), "+v"(s6), "+v"(s7));
  }
}
__attribute__((target("avx2,fma"))) void fma_avx2(std::int64_t iterations) {
  __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
  const __m256 a = _mm256_set1_ps(1.0F);
  for (std::int64_t i = 0; i < iterations; ++i) {
    s0 = _mm256_fmadd_ps(a, a, s0);
    s1 = _mm256_fmadd_ps(a, a, s1);
    s2 = _mm256_fmadd_ps(a, a, s2);
    s3 = _mm256_fmadd_ps(a, a, s3);
    s4 = _mm256_fmadd_ps(a, a, s4);
    s5 = _mm256_fmadd_ps(a, a, s5);
    s6 = _mm256_fmadd_ps(a, a, s6);
    s7 = _mm256_fmadd_ps(a, a, s7);
    asm volatile("" : "+x"(s0), "+x"(s1), "+x"(s2), "+x"(s3), "+x"(s4), "+x"(s5), "+x"(s6), "+x"(s7));
  }
}
__attribute__((target("avx512f"))) void read_avx512(const std::byte* data, std::size_t size) {
  __m512i sums[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                     _mm512_setzero_si512()};
  for (std::size_t i = 0; i + 256 <= size; i += 256)
    for (std::size_t k = 0; k < 4; ++k)
      sums[k] = _mm512_xor_si512(sums[k], _mm512_loadu_si512(data + i + 64 * k));
  keep(sums);
}
#elif defined(__aarch64__)
void fma_neon(std::int64_t iterations) {
  float32x4_t s0 = vdupq_n_f32(0.0F), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
  const float32x4_t a = vdupq_n_f32(1.0F);
  for (std::int64_t i = 0; i < iterations; ++i) {
    s0 = vfmaq_f32(s0, a, a);
    s1 = vfmaq_f32(s1, a, a);
    s2 = vfmaq_f32(s2, a, a);
    s3 = vfmaq_f32(s3, a, a);
    s4 = vfmaq_f32(s4, a, a);
    s5 = vfmaq_f32(s5, a, a);
    s6 = vfmaq_f32(s6, a, a);
    s7 = vfmaq_f32(s7, a, a);
    asm volatile("" : "+w"(s0), "+w"(s1), "+w"(s2), "+w"(s3), "+w"(s4), "+w"(s5), "+w"(s6), "+w"(s7));
  }
}
#endif

void read_plain(const std::byte* data, std::size_t size) {
  std::uint64_t sums[8] = {};
  for (std::size_t i = 0; i + sizeof sums <= size; i += sizeof sums) {
    std::uint64_t words[8];
    std::memcpy(words, data + i, sizeof words);
    for (int k = 0; k < 8; ++k) sums[k] ^= words[k];
  }
  keep(sums);
}

void read_all(const std::byte* data, std::size_t size) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return read_avx512(data, size);
#endif
  read_plain(data, size);
}

// Best rate over the rounds of `kernel(iterations)`, which does `ops` operations an iteration.
double best_rate(int threads, double ops, void (*kernel)(std::int64_t)) {
  constexpr std::int64_t kIterations = 2'000'000;
  double best = 0.0;
  for (int round = 0; round < kRounds; ++round) {
    const double seconds = timed(threads, [&](int) { kernel(kIterations); });
    best = std::max(best, ops * static_cast<double>(kIterations) * threads / seconds / 1e9);
  }
  return best;
}

}  // namespace

double read_bandwidth_gb_per_s(int threads) {
  constexpr std::size_t kSize = std::size_t{512} << 20U;
  static const std::unique_ptr<std::byte[]> buffer = [] {
    auto memory = std::make_unique<std::byte[]>(kSize);
    std::memset(memory.get(), 1, kSize);
    return memory;
  }();
  double best = 0.0;
  for (int round = 0; round < kRounds; ++round) {
    const std::size_t share = kSize / static_cast<std::size_t>(threads);
    const double seconds = timed(
        threads, [&](int index) { read_all(buffer.get() + share * static_cast<std::size_t>(index), share); });
    best = std::max(best, static_cast<double>(kSize) / seconds / 1e9);
  }
  return best;
}

double barrier_us() {
  constexpr int kCrossings = 20'000;
  alignas(64) std::atomic<int> arrived{0};
  alignas(64) std::atomic<int> phase{0};
  double best = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    const double seconds = timed(2, [&](int) {
      for (int i = 0; i < kCrossings; ++i) {
        const int current = phase.load(std::memory_order_acquire);
        if (arrived.fetch_add(1) == 1) {
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

double int8_dot_gop_per_s(int threads) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512vnni")) return best_rate(threads, 8.0 * 64 * 2, dot_avx512);
#endif
  (void)threads;
  return 0.0;
}

double fp32_fma_gflop_per_s(int threads) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return best_rate(threads, 8.0 * 16 * 2, fma_avx512);
  if (__builtin_cpu_supports("avx2")) return best_rate(threads, 8.0 * 8 * 2, fma_avx2);
#elif defined(__aarch64__)
  return best_rate(threads, 8.0 * 4 * 2, fma_neon);
#endif
  (void)threads;
  return 0.0;
}

}  // namespace mlxd::bench
