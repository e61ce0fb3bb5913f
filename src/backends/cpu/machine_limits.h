// The limits of this machine, measured: what benchmarks and profiles divide their figures by. Each call takes
// a fraction of a second and returns the best of several rounds. One caller at a time, and nothing else
// running if the figures are to mean anything.
#pragma once

#include "backends/cpu/isa.h"

namespace mlxd {

/// Multiply rates from registers, in 10^9 operations per second; a multiply and an add count as two. 0 where
/// the machine has no such instruction.
struct MultiplyRates {
  double int8 = 0.0;         // dot products of the vector unit
  double bf16 = 0.0;         // likewise, into fp32
  double fp32 = 0.0;         // fused multiply-adds
  double int8_matrix = 0.0;  // of the matrix unit (AMX)
  double bf16_matrix = 0.0;
};

struct MachineLimits {
  int threads = 1;
  double read_gb_per_s_1 = 0.0;  // of one thread
  double read_gb_per_s = 0.0;    // of all
  double barrier_us = 0.0;
  MultiplyRates rates_1;  // of one thread
  MultiplyRates rates;    // of all
};

/// Read bandwidth in GB/s: `threads` threads each read their own part of a buffer larger than most caches. 0
/// if the system has no memory for it.
double read_bandwidth_gb_per_s(int threads);

/// One round of a spin barrier between so many threads (at least 2), microseconds. Tells near cores from far
/// ones.
double barrier_us(int threads = 2);

/// With the vector instructions that the kernels of `isa` may use (kScalar: those of the best set there is),
/// which this machine must have; the matrix unit whatever the set.
MultiplyRates multiply_rates(Isa isa, int threads);

/// All of the above for the best instruction set.
MachineLimits measure_machine(int threads);

}  // namespace mlxd
