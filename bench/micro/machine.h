// The limits of this machine, measured: what every micro-benchmark divides its figures by. Each call takes a
// fraction of a second and returns the best of several rounds. One caller at a time.
#pragma once

#include <cstdint>

namespace mlxd::bench {

/// Read bandwidth in GB/s: `threads` threads each sum their own part of a buffer larger than the caches.
double read_bandwidth_gb_per_s(int threads);

/// One round of a spin barrier between two threads, microseconds. Tells near cores from far ones.
double barrier_us();

/// 8-bit multiply-adds per second (a multiply and an add count as two), in Gop/s, from registers; 0 where
/// this program has no integer dot product for the machine.
double int8_dot_gop_per_s(int threads);

/// fp32 fused multiply-adds per second (counted as two), in Gflop/s, from registers.
double fp32_fma_gflop_per_s(int threads);

}  // namespace mlxd::bench
