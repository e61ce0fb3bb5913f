// The kernels of recurrent layers (vector_kernels.h) over a vector type V. Channels and values lie along the
// lanes and sums run over keys in one order, so that how outputs are cut into pieces changes no bit.
#pragma once

#include "backends/cpu/vector.h"
#include "backends/cpu/vector_kernels.h"

namespace mlxd {

template <typename V>
struct RecurrenceKernelsOf {
  using F = typename V::F;

  static F load_up_to(const float* p, std::int32_t n) {
    return n >= kLanes ? V::load(p) : V::load_partial(p, n);
  }

  static void convolve(const Convolution& conv, float* out, std::int32_t n) {
    for (std::int32_t i = 0; i < n; i += kLanes) {
      F sum = conv.bias != nullptr ? load_up_to(conv.bias + i, n - i) : V::zero();
      for (std::int32_t j = 0; j < conv.kernel; ++j) {
        F value = load_up_to(conv.inputs[j] + i, n - i);
        if (conv.gates[j] != nullptr) value = V::mul(value, load_up_to(conv.gates[j] + i, n - i));
        sum = V::fma(value, load_up_to(conv.weights + j * conv.weight_stride + i, n - i), sum);
      }
      if (conv.activated) sum = silu<V>(sum);
      if (n - i >= kLanes) {
        V::store(out + i, sum);
      } else {
        V::store_partial(out + i, sum, n - i);
      }
    }
  }

  /// `kVectors` vectors of values from column `column` on, over all tokens.
  template <int kVectors>
  static void recur_columns(const Recurrence& run, std::int32_t column) {
    for (std::int32_t t = 0; t < run.rows; ++t) {
      const float* key = run.keys + t * run.stride;
      const float* query = run.queries + t * run.stride;
      const float* value = run.values + t * run.stride + column;
      float* state = run.state + column;
      const F decay = V::broadcast(run.decays[t * run.rate_stride]);
      const F factor = V::broadcast(run.factors[t * run.rate_stride]);
      // Two sums, of even and of odd keys, hide the latency of an addition.
      F change[kVectors];
      F sums[2][kVectors];
      if (run.is_delta_rule) {
        for (int c = 0; c < kVectors; ++c) sums[0][c] = sums[1][c] = V::zero();
        for (std::int32_t d = 0; d < run.key_dim; ++d) {
          const F k = V::broadcast(key[d]);
          const float* from = state + static_cast<std::ptrdiff_t>(d) * run.value_dim;
          for (int c = 0; c < kVectors; ++c)
            sums[d & 1][c] = V::fma(k, V::load(from + c * kLanes), sums[d & 1][c]);
        }
        for (int c = 0; c < kVectors; ++c) {
          const F known = V::mul(V::add(sums[0][c], sums[1][c]), decay);
          change[c] = V::mul(V::sub(V::load(value + c * kLanes), known), factor);
        }
      } else {
        for (int c = 0; c < kVectors; ++c) change[c] = V::mul(V::load(value + c * kLanes), factor);
      }
      for (int c = 0; c < kVectors; ++c) sums[0][c] = sums[1][c] = V::zero();
      for (std::int32_t d = 0; d < run.key_dim; ++d) {
        const F k = V::broadcast(key[d]);
        const F q = V::broadcast(query[d]);
        float* at = state + static_cast<std::ptrdiff_t>(d) * run.value_dim;
        for (int c = 0; c < kVectors; ++c) {
          const F next = V::fma(k, change[c], V::mul(V::load(at + c * kLanes), decay));
          V::store(at + c * kLanes, next);
          sums[d & 1][c] = V::fma(q, next, sums[d & 1][c]);
        }
      }
      float* out = run.outputs + t * run.output_stride + column;
      const F skip = V::broadcast(run.skip);
      for (int c = 0; c < kVectors; ++c) {
        const F sum = V::add(sums[0][c], sums[1][c]);
        V::store(out + c * kLanes, V::fma(V::load(value + c * kLanes), skip, sum));
      }
    }
  }

  static void recur(const Recurrence& run) {
    std::int32_t column = 0;
    for (; column + 4 * kLanes <= run.value_dim; column += 4 * kLanes) recur_columns<4>(run, column);
    for (; column < run.value_dim; column += kLanes) recur_columns<1>(run, column);
  }
};

}  // namespace mlxd
