// The kernels of vector_kernels.h over a vector type V; included by the one file of each instruction set.
#pragma once

#include "backends/cpu/attention_kernels_impl.h"
#include "backends/cpu/recurrence_kernels_impl.h"
#include "backends/cpu/vector.h"
#include "backends/cpu/vector_kernels.h"

namespace mlxd {

template <typename V>
struct VectorKernelsOf {
  using F = typename V::F;

  static float inverse_rms(const float* x, std::int32_t n, float eps) {
    // Four sums hide the latency of an addition.
    F sums[4] = {V::zero(), V::zero(), V::zero(), V::zero()};
    std::int32_t i = 0;
    for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
      for (int part = 0; part < 4; ++part) {
        const F value = V::load(x + i + part * kLanes);
        sums[part] = V::fma(value, value, sums[part]);
      }
    }
    for (; i < n; i += kLanes) {
      const F value = V::load_partial(x + i, n - i);
      sums[0] = V::fma(value, value, sums[0]);
    }
    const float total = V::reduce_add(V::add(V::add(sums[0], sums[1]), V::add(sums[2], sums[3])));
    return 1.0F / __builtin_sqrtf(total / static_cast<float>(n) + eps);
  }

  static void normalize(const float* x, const float* weight, float factor, float* out, std::int32_t n) {
    const F factors = V::broadcast(factor);
    std::int32_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      V::store(out + i, V::mul(V::mul(V::load(x + i), factors), V::load(weight + i)));
    }
    if (i < n) {
      const F scaled = V::mul(V::load_partial(x + i, n - i), factors);
      V::store_partial(out + i, V::mul(scaled, V::load_partial(weight + i, n - i)), n - i);
    }
  }

  static void add_to(const float* y, float* x, std::int32_t n) {
    std::int32_t i = 0;
    for (; i + kLanes <= n; i += kLanes) V::store(x + i, V::add(V::load(x + i), V::load(y + i)));
    if (i < n) {
      V::store_partial(x + i, V::add(V::load_partial(x + i, n - i), V::load_partial(y + i, n - i)), n - i);
    }
  }

  static void add_scaled(const float* y, float factor, float* x, std::int32_t n) {
    const F factors = V::broadcast(factor);
    for (std::int32_t i = 0; i < n; i += kLanes)
      store_up_to(x + i, V::fma(load_up_to(y + i, n - i), factors, load_up_to(x + i, n - i)), n - i);
  }

  static void add_low_rank(const float* inner, std::int32_t rank, const float* up, std::ptrdiff_t stride,
                           float* y, std::int32_t n) {
    std::int32_t i = 0;
    for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
      F sums[4];
      for (int part = 0; part < 4; ++part) sums[part] = V::load(y + i + part * kLanes);
      for (std::int32_t k = 0; k < rank; ++k) {
        const F factors = V::broadcast(inner[k]);
        const float* from = up + k * stride + i;
        for (int part = 0; part < 4; ++part)
          sums[part] = V::fma(factors, V::load(from + part * kLanes), sums[part]);
      }
      for (int part = 0; part < 4; ++part) V::store(y + i + part * kLanes, sums[part]);
    }
    for (; i < n; i += kLanes) {
      F sum = load_up_to(y + i, n - i);
      for (std::int32_t k = 0; k < rank; ++k)
        sum = V::fma(V::broadcast(inner[k]), load_up_to(up + k * stride + i, n - i), sum);
      store_up_to(y + i, sum, n - i);
    }
  }

  static float mean(const float* x, std::int32_t n) {
    F sum = V::zero();
    for (std::int32_t i = 0; i < n; i += kLanes) sum = V::add(sum, load_up_to(x + i, n - i));
    return V::reduce_add(sum) / static_cast<float>(n);
  }

  static float inverse_deviation(const float* x, float mean, std::int32_t n, float eps) {
    const F means = V::broadcast(mean);
    F sum = V::zero();
    for (std::int32_t i = 0; i < n; i += kLanes) {
      const F value = V::first_lanes(V::sub(load_up_to(x + i, n - i), means), n - i, 0.0F);
      sum = V::fma(value, value, sum);
    }
    return 1.0F / __builtin_sqrtf(V::reduce_add(sum) / static_cast<float>(n) + eps);
  }

  static void normalize_centered(const float* x, const float* weight, const float* bias, float mean,
                                 float factor, float* out, std::int32_t n) {
    const F means = V::broadcast(mean);
    const F factors = V::broadcast(factor);
    for (std::int32_t i = 0; i < n; i += kLanes) {
      const F value = V::mul(V::sub(load_up_to(x + i, n - i), means), factors);
      const F offset = bias != nullptr ? load_up_to(bias + i, n - i) : V::zero();
      store_up_to(out + i, V::fma(value, load_up_to(weight + i, n - i), offset), n - i);
    }
  }

  static void softcap(float* x, float cap, std::int32_t n) {
    for (std::int32_t i = 0; i < n; i += kLanes)
      store_up_to(x + i, capped<V>(load_up_to(x + i, n - i), cap), n - i);
  }

  static F load_up_to(const float* p, std::int32_t n) {
    return n >= kLanes ? V::load(p) : V::load_partial(p, n);
  }
  static void store_up_to(float* p, F x, std::int32_t n) {
    if (n >= kLanes) {
      V::store(p, x);
    } else {
      V::store_partial(p, x, n);
    }
  }

  template <Activation kActivation>
  static F activated(F x) {
    if constexpr (kActivation == Activation::kSilu) return silu<V>(x);
    if constexpr (kActivation == Activation::kGeluTanh) return gelu_tanh<V>(x);
    if constexpr (kActivation == Activation::kGelu) return gelu<V>(x);
    if constexpr (kActivation == Activation::kSigmoid) return sigmoid<V>(x);
    if constexpr (kActivation == Activation::kRelu) return V::max(x, V::zero());
    if constexpr (kActivation == Activation::kRelu2) {
      const F positive = V::max(x, V::zero());
      return V::mul(positive, positive);
    }
    if constexpr (kActivation == Activation::kClampedSwiGlu) {
      const F clamped = V::min(x, V::broadcast(7.0F));
      return V::mul(clamped, sigmoid<V>(V::mul(clamped, V::broadcast(1.702F))));
    }
  }

  template <Activation kActivation>
  static void gate_with(const float* gate, const float* up, float* out, std::int32_t n) {
    for (std::int32_t i = 0; i < n; i += kLanes) {
      F value = activated<kActivation>(load_up_to(gate + i, n - i));
      if (up != nullptr) {
        F factor = load_up_to(up + i, n - i);
        if constexpr (kActivation == Activation::kClampedSwiGlu) {
          factor = V::max(V::min(factor, V::broadcast(7.0F)), V::broadcast(-7.0F));
          factor = V::add(factor, V::broadcast(1.0F));
        }
        value = V::mul(value, factor);
      }
      store_up_to(out + i, value, n - i);
    }
  }

  static void gate(Activation activation, const float* gate, const float* up, float* out, std::int32_t n) {
    switch (activation) {
      case Activation::kSilu:
        return gate_with<Activation::kSilu>(gate, up, out, n);
      case Activation::kGeluTanh:
        return gate_with<Activation::kGeluTanh>(gate, up, out, n);
      case Activation::kGelu:
        return gate_with<Activation::kGelu>(gate, up, out, n);
      case Activation::kRelu:
        return gate_with<Activation::kRelu>(gate, up, out, n);
      case Activation::kRelu2:
        return gate_with<Activation::kRelu2>(gate, up, out, n);
      case Activation::kSigmoid:
        return gate_with<Activation::kSigmoid>(gate, up, out, n);
      case Activation::kClampedSwiGlu:
        return gate_with<Activation::kClampedSwiGlu>(gate, up, out, n);
    }
  }

  /// (a, b) → (a cos − b sin, b cos + a sin) for pairs (a[i], b[i]).
  static void rotate_pairs(float* a, float* b, const float* cosines, const float* sines, std::int32_t pairs) {
    for (std::int32_t i = 0; i < pairs; i += kLanes) {
      const std::int32_t n = pairs - i;
      const F x = V::load_partial(a + i, n);
      const F y = V::load_partial(b + i, n);
      const F cosine = V::load_partial(cosines + i, n);
      const F sine = V::load_partial(sines + i, n);
      V::store_partial(a + i, V::fma(x, cosine, V::sub(V::zero(), V::mul(y, sine))), n);
      V::store_partial(b + i, V::fma(y, cosine, V::mul(x, sine)), n);
    }
  }

  static void rotate(float* head, const float* cosines, const float* sines, std::int32_t pairs,
                     bool traditional) {
    if (!traditional) {
      rotate_pairs(head, head + pairs, cosines, sines, pairs);
      return;
    }
    float even[kLanes];
    float odd[kLanes];
    for (std::int32_t i = 0; i < pairs; i += kLanes) {
      const std::int32_t n = pairs - i < kLanes ? pairs - i : kLanes;
      for (std::int32_t l = 0; l < n; ++l) {
        even[l] = head[2 * (i + l)];
        odd[l] = head[2 * (i + l) + 1];
      }
      rotate_pairs(even, odd, cosines + i, sines + i, n);
      for (std::int32_t l = 0; l < n; ++l) {
        head[2 * (i + l)] = even[l];
        head[2 * (i + l) + 1] = odd[l];
      }
    }
  }

  static void scale(const float* x, float factor, float* out, std::int32_t n) {
    const F factors = V::broadcast(factor);
    std::int32_t i = 0;
    for (; i + kLanes <= n; i += kLanes) V::store(out + i, V::mul(V::load(x + i), factors));
    if (i < n) V::store_partial(out + i, V::mul(V::load_partial(x + i, n - i), factors), n - i);
  }

  static void to_half(const float* x, std::uint16_t* out, std::int32_t n) {
    for (std::int32_t i = 0; i < n; i += kLanes) V::store_half(out + i, V::load(x + i));
  }

  static void to_bfloat(const float* x, std::uint16_t* out, std::int32_t n) {
    for (std::int32_t i = 0; i < n; i += kLanes) V::store_bfloat(out + i, V::load(x + i));
  }

  static float to_int8(const float* x, std::int8_t* codes, std::int32_t n) {
    const F magic = V::broadcast(12582912.0F);  // 1.5 · 2^23: adding it rounds to an integer
    const auto bounded = [&](std::int32_t i) {
      return V::min(V::max(V::load(x + i), V::broadcast(-kLargestHalf)), V::broadcast(kLargestHalf));
    };
    F magnitudes = V::zero();
    for (std::int32_t i = 0; i < n; i += kLanes) {
      const F value = bounded(i);
      magnitudes = V::max(V::max(value, V::sub(V::zero(), value)), magnitudes);
    }
    const float largest = V::reduce_max(magnitudes);
    const F inverse = V::broadcast(largest > 1e-30F ? 127.0F / largest : 0.0F);
    for (std::int32_t i = 0; i < n; i += kLanes)
      V::store_int8(codes + i, V::sub(V::fma(bounded(i), inverse, magic), magic));
    return largest / 127.0F;
  }

  static void split(const float* x, float* high, float* low, std::int32_t n) {
    const F magic = V::broadcast(12582912.0F);  // 1.5 · 2^23: adding it rounds to an integer
    for (std::int32_t i = 0; i < n; i += 2 * kLanes) {
      const F a = V::load(x + i);
      const F b = V::load(x + i + kLanes);
      const F zero = V::zero();
      const F magnitude = V::max(V::max(a, V::sub(zero, a)), V::max(b, V::sub(zero, b)));
      const float largest = V::reduce_max(magnitude);
      const float scale = largest / 127.0F;
      // Below this all is zero for the product as well.
      const F inverse = V::broadcast(largest > 1e-30F ? 127.0F / largest : 0.0F);
      const F scales = V::broadcast(scale);
      const F whole_a = V::mul(V::sub(V::fma(a, inverse, magic), magic), scales);
      const F whole_b = V::mul(V::sub(V::fma(b, inverse, magic), magic), scales);
      V::store(high + i, whole_a);
      V::store(high + i + kLanes, whole_b);
      V::store(low + i, V::sub(a, whole_a));
      V::store(low + i + kLanes, V::sub(b, whole_b));
    }
  }

  static std::int32_t peak(const float* x, std::int32_t n) {
    const float lowest = -__builtin_inff();
    F best = V::broadcast(lowest);
    // max(x, best) keeps `best` where x is not a number.
    for (std::int32_t i = 0; i < n; i += kLanes) {
      const F value =
          i + kLanes <= n ? V::load(x + i) : V::first_lanes(V::load_partial(x + i, n - i), n - i, lowest);
      best = V::max(value, best);
    }
    const float largest = V::reduce_max(best);
    if (largest == lowest) return -1;
    for (std::int32_t i = 0; i < n; ++i) {
      if (x[i] == largest) return i;
    }
    return -1;
  }

  template <int kRows, int kOutputs>
  static void product_tile(const float* x, std::ptrdiff_t x_stride, const float* w, std::int32_t features,
                           float* y, std::ptrdiff_t y_stride) {
    F sums[kRows][kOutputs];
    for (int m = 0; m < kRows; ++m) {
      for (int o = 0; o < kOutputs; ++o) sums[m][o] = V::zero();
    }
    for (std::int32_t k = 0; k < features; k += kLanes) {
      const std::int32_t n = features - k;
      F weights[kOutputs];
      for (int o = 0; o < kOutputs; ++o) {
        const float* from = w + static_cast<std::ptrdiff_t>(o) * features + k;
        weights[o] = n >= kLanes ? V::load(from) : V::load_partial(from, n);
      }
      for (int m = 0; m < kRows; ++m) {
        const float* from = x + m * x_stride + k;
        const F value = n >= kLanes ? V::load(from) : V::load_partial(from, n);
        for (int o = 0; o < kOutputs; ++o) sums[m][o] = V::fma(value, weights[o], sums[m][o]);
      }
    }
    for (int m = 0; m < kRows; ++m) {
      for (int o = 0; o < kOutputs; ++o) y[m * y_stride + o] = V::reduce_add(sums[m][o]);
    }
  }

  static void product(const float* x, std::ptrdiff_t x_stride, std::int32_t rows, const float* w,
                      std::int32_t features, std::int32_t outputs, float* y, std::ptrdiff_t y_stride) {
    constexpr int kTile = V::kTileRows >= 8 ? 4 : 2;
    std::int32_t o = 0;
    for (; o + kTile <= outputs; o += kTile) {
      const float* weights = w + static_cast<std::ptrdiff_t>(o) * features;
      std::int32_t m = 0;
      for (; m + kTile <= rows; m += kTile) {
        product_tile<kTile, kTile>(x + m * x_stride, x_stride, weights, features, y + m * y_stride + o,
                                   y_stride);
      }
      for (; m < rows; ++m) {
        product_tile<1, kTile>(x + m * x_stride, x_stride, weights, features, y + m * y_stride + o, y_stride);
      }
    }
    for (; o < outputs; ++o) {
      const float* weights = w + static_cast<std::ptrdiff_t>(o) * features;
      for (std::int32_t m = 0; m < rows; ++m) {
        product_tile<1, 1>(x + m * x_stride, x_stride, weights, features, y + m * y_stride + o, y_stride);
      }
    }
  }

  static constexpr VectorKernels table() {
    using Attention = AttentionKernelsOf<V>;
    using Recurrent = RecurrenceKernelsOf<V>;
    return {.inverse_rms = inverse_rms,
            .normalize = normalize,
            .mean = mean,
            .inverse_deviation = inverse_deviation,
            .normalize_centered = normalize_centered,
            .add_to = add_to,
            .add_scaled = add_scaled,
            .add_low_rank = add_low_rank,
            .softcap = softcap,
            .gate = gate,
            .rotate = rotate,
            .scale = scale,
            .to_half = to_half,
            .to_bfloat = to_bfloat,
            .to_int8 = to_int8,
            .split = split,
            .peak = peak,
            .attend = Attention::attend,
            .merge = Attention::merge,
            .finish = Attention::finish,
            .convolve = Recurrent::convolve,
            .recur = Recurrent::recur,
            .product = product};
  }
};

}  // namespace mlxd
