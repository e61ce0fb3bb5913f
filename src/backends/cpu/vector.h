// A vector of 16 floats as every kernel outside the weight products sees it, one implementation per
// instruction set. Each operation is defined lane by lane with IEEE rounding, and the few that cross lanes
// have one fixed order, so a kernel written over it gives the same bits on all of them. This file: the plain
// C++ one, and the functions built from the others. Vector types may only be used in files compiled for their
// instruction set.
//
// Operations of a type V with lanes V::F:
//   zero, broadcast, load, store; load_partial / store_partial: the first n lanes (the rest read as 0)
//   load_half, store_half: IEEE half precision, nearest even; store saturates to ±65504 (a NaN becomes
//   -65504) load_bfloat, store_bfloat: the upper half of an fp32, likewise, saturating to its largest number
//   load_int8, store_int8: store takes integral values in [-128, 127]
//   add sub mul div; fma(a, b, c) = a * b + c rounded once
//   max(a, b) = a > b ? a : b;  min(a, b) = a < b ? a : b;  select_less(a, b, x, y) = a < b ? x : y
//   first_lanes(x, n, fill): lanes n… become fill
//   scale_by_power_of_two(x, n): x * 2^n for integral n in [-126, 127] and a normal result
//   reduce_add: (l, l + 8), then (l, l + 4), (l, l + 2), (l, l + 1);  reduce_max
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace mlxd {

inline constexpr std::int32_t kLanes = 16;
inline constexpr float kLargestHalf = 65504.0F;
inline constexpr float kLargestBfloat = 0x1.FEp127F;

struct ScalarVector {
  struct F {
    float lane[kLanes];
  };
  // Tile of the attention kernels: rows of queries × vectors of keys or dimensions.
  static constexpr int kTileRows = 1;
  static constexpr int kTileVectors = 1;
  static constexpr int kValueTileRows = 1;
  static constexpr int kValueTileVectors = 1;

  template <typename Function>
  static F each(Function&& function) {
    F out;
    for (int l = 0; l < kLanes; ++l) out.lane[l] = function(l);
    return out;
  }
  static F zero() { return broadcast(0.0F); }
  static F broadcast(float x) {
    return each([&](int) { return x; });
  }
  static F load(const float* p) {
    return each([&](int l) { return p[l]; });
  }
  static void store(float* p, F x) {
    for (int l = 0; l < kLanes; ++l) p[l] = x.lane[l];
  }
  static F load_partial(const float* p, int n) {
    return each([&](int l) { return l < n ? p[l] : 0.0F; });
  }
  static void store_partial(float* p, F x, int n) {
    for (int l = 0; l < n && l < kLanes; ++l) p[l] = x.lane[l];
  }
  static F load_half(const std::uint16_t* p) {
    return each([&](int l) { return half_to_float(p[l]); });
  }
  static void store_half(std::uint16_t* p, F x) {
    for (int l = 0; l < kLanes; ++l) p[l] = float_to_half(x.lane[l]);
  }
  static F load_bfloat(const std::uint16_t* p) {
    return each([&](int l) { return bfloat_to_float(p[l]); });
  }
  static void store_bfloat(std::uint16_t* p, F x) {
    for (int l = 0; l < kLanes; ++l) p[l] = float_to_bfloat(x.lane[l]);
  }
  static F load_int8(const std::int8_t* p) {
    return each([&](int l) { return static_cast<float>(p[l]); });
  }
  static void store_int8(std::int8_t* p, F x) {
    for (int l = 0; l < kLanes; ++l) p[l] = static_cast<std::int8_t>(x.lane[l]);
  }
  static F add(F a, F b) {
    return each([&](int l) { return a.lane[l] + b.lane[l]; });
  }
  static F sub(F a, F b) {
    return each([&](int l) { return a.lane[l] - b.lane[l]; });
  }
  static F mul(F a, F b) {
    return each([&](int l) { return a.lane[l] * b.lane[l]; });
  }
  static F div(F a, F b) {
    return each([&](int l) { return a.lane[l] / b.lane[l]; });
  }
  static F fma(F a, F b, F c) {
    return each([&](int l) { return std::fma(a.lane[l], b.lane[l], c.lane[l]); });
  }
  static F max(F a, F b) {
    return each([&](int l) { return a.lane[l] > b.lane[l] ? a.lane[l] : b.lane[l]; });
  }
  static F min(F a, F b) {
    return each([&](int l) { return a.lane[l] < b.lane[l] ? a.lane[l] : b.lane[l]; });
  }
  static F select_less(F a, F b, F x, F y) {
    return each([&](int l) { return a.lane[l] < b.lane[l] ? x.lane[l] : y.lane[l]; });
  }
  static F first_lanes(F x, int n, float fill) {
    return each([&](int l) { return l < n ? x.lane[l] : fill; });
  }
  static F scale_by_power_of_two(F x, F n) {
    return each([&](int l) {
      const std::uint32_t exponent = static_cast<std::uint32_t>(static_cast<std::int32_t>(n.lane[l])) << 23U;
      return std::bit_cast<float>(std::bit_cast<std::uint32_t>(x.lane[l]) + exponent);
    });
  }
  static float reduce_add(F x) {
    for (int half = kLanes / 2; half > 0; half /= 2) {
      for (int l = 0; l < half; ++l) x.lane[l] += x.lane[l + half];
    }
    return x.lane[0];
  }
  static float reduce_max(F x) {
    for (int half = kLanes / 2; half > 0; half /= 2) {
      for (int l = 0; l < half; ++l) x.lane[l] = x.lane[l] > x.lane[l + half] ? x.lane[l] : x.lane[l + half];
    }
    return x.lane[0];
  }

  static float half_to_float(std::uint16_t bits) {
    const std::uint32_t sign = (bits & 0x8000U) << 16U;
    const std::uint32_t magnitude = bits & 0x7FFFU;
    if (magnitude >= 0x7C00U) return std::bit_cast<float>(sign | 0x7F800000U | (magnitude << 13U));
    // Shifted into place the exponent is 112 too small; a product puts it right, for subnormals too.
    const float value = std::bit_cast<float>(magnitude << 13U) * 0x1p112F;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) | sign);
  }
  static std::uint16_t float_to_half(float x) {
    x = x > -kLargestHalf ? x : -kLargestHalf;
    x = x < kLargestHalf ? x : kLargestHalf;
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t sign = (bits >> 16U) & 0x8000U;
    const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
    if (magnitude < 0x38800000U) {
      // Below 2^-14 halves are multiples of 2^-24: adding 1/2 leaves exactly those bits, rounded by the
      // addition.
      const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
      return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3F000000U));
    }
    const std::uint32_t rounded = magnitude - 0x38000000U + 0x0FFFU + ((magnitude >> 13U) & 1U);
    return static_cast<std::uint16_t>(sign | (rounded >> 13U));
  }
  static float bfloat_to_float(std::uint16_t bits) {
    return std::bit_cast<float>(std::uint32_t{bits} << 16U);
  }
  static std::uint16_t float_to_bfloat(float x) {
    x = x > -kLargestBfloat ? x : -kLargestBfloat;
    x = x < kLargestBfloat ? x : kLargestBfloat;
    const auto bits = std::bit_cast<std::uint32_t>(x);
    return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U);
  }
};

/// e^x; 0 below -87, e^88.3 above 88.3; relative error < 2e-7.
template <typename V>
inline typename V::F exp(typename V::F x) {
  using F = typename V::F;
  const F lowest = V::broadcast(-87.0F);
  const F clamped = V::min(V::max(x, lowest), V::broadcast(88.3F));
  // Adding 1.5 · 2^23 rounds to the nearest integer.
  const F magic = V::broadcast(12582912.0F);
  const F n = V::sub(V::fma(clamped, V::broadcast(1.44269504F), magic), magic);
  // ln 2 in two parts: the first has few bits, so that its product with n is exact.
  F r = V::fma(n, V::broadcast(-0.693359375F), clamped);
  r = V::fma(n, V::broadcast(2.12194440e-4F), r);
  F p = V::broadcast(1.0F / 5040);
  p = V::fma(p, r, V::broadcast(1.0F / 720));
  p = V::fma(p, r, V::broadcast(1.0F / 120));
  p = V::fma(p, r, V::broadcast(1.0F / 24));
  p = V::fma(p, r, V::broadcast(1.0F / 6));
  p = V::fma(p, r, V::broadcast(0.5F));
  p = V::fma(p, r, V::broadcast(1.0F));
  p = V::fma(p, r, V::broadcast(1.0F));
  return V::select_less(x, lowest, V::zero(), V::scale_by_power_of_two(p, n));
}

/// 1 / (1 + e^-x)
template <typename V>
inline typename V::F sigmoid(typename V::F x) {
  const typename V::F one = V::broadcast(1.0F);
  return V::div(one, V::add(one, exp<V>(V::sub(V::zero(), x))));
}

/// Absolute error < 2e-7.
template <typename V>
inline typename V::F tanh(typename V::F x) {
  const typename V::F one = V::broadcast(1.0F);
  const typename V::F two = V::broadcast(2.0F);
  return V::sub(one, V::div(two, V::add(one, exp<V>(V::mul(x, two)))));
}

/// cap · tanh(x / cap)
template <typename V>
inline typename V::F capped(typename V::F x, float cap) {
  return V::mul(tanh<V>(V::mul(x, V::broadcast(1.0F / cap))), V::broadcast(cap));
}

/// x · Φ(x), Φ the normal distribution, whose tail is exp(−x²/2) times a polynomial (Abramowitz and Stegun,
/// 7.1.26); absolute error of Φ < 2e-7.
template <typename V>
inline typename V::F gelu(typename V::F x) {
  using F = typename V::F;
  const F zero = V::zero();
  const F one = V::broadcast(1.0F);
  const F a = V::mul(V::max(x, V::sub(zero, x)), V::broadcast(0.7071067812F));
  const F t = V::div(one, V::fma(a, V::broadcast(0.3275911F), one));
  F p = V::broadcast(0.5F * 1.061405429F);
  p = V::fma(p, t, V::broadcast(0.5F * -1.453152027F));
  p = V::fma(p, t, V::broadcast(0.5F * 1.421413741F));
  p = V::fma(p, t, V::broadcast(0.5F * -0.284496736F));
  p = V::fma(p, t, V::broadcast(0.5F * 0.254829592F));
  const F tail = V::mul(V::mul(p, t), exp<V>(V::sub(zero, V::mul(a, a))));
  return V::mul(x, V::select_less(x, zero, tail, V::sub(one, tail)));
}

/// x / (1 + e^-x)
template <typename V>
inline typename V::F silu(typename V::F x) {
  const typename V::F one = V::broadcast(1.0F);
  return V::div(x, V::add(one, exp<V>(V::sub(V::zero(), x))));
}

/// x / 2 · (1 + tanh(√(2/π) (x + 0.044715 x³))), as x · sigmoid of twice the argument.
template <typename V>
inline typename V::F gelu_tanh(typename V::F x) {
  using F = typename V::F;
  const F one = V::broadcast(1.0F);
  const F factor = V::fma(V::mul(x, x), V::broadcast(0.044715F * 1.5957691216F), V::broadcast(1.5957691216F));
  return V::div(x, V::add(one, exp<V>(V::sub(V::zero(), V::mul(x, factor)))));
}

}  // namespace mlxd
