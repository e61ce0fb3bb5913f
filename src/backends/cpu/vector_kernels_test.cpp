#include "backends/cpu/vector_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "backends/cpu/vector.h"

namespace mlxd {
namespace {

using Floats = std::vector<float>;

Floats random_floats(std::size_t n, float scale, std::uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0F, scale);
  Floats values(n);
  for (float& value : values) value = normal(generator);
  return values;
}

bool same_bits(const Floats& a, const Floats& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// Calls check(set) for every set of this machine but the scalar one.
template <typename Check>
void for_each_set(Check&& check) {
  for (const Isa isa : vector_isas()) {
    if (isa == Isa::kScalar) continue;
    SCOPED_TRACE(to_string(isa));
    check(vector_kernels(isa));
  }
}

constexpr Activation kActivations[] = {Activation::kSilu,         Activation::kGeluTanh, Activation::kGelu,
                                       Activation::kRelu,         Activation::kRelu2,    Activation::kSigmoid,
                                       Activation::kClampedSwiGlu};

const VectorKernels& scalar() { return vector_kernels(Isa::kScalar); }

TEST(VectorKernels, EveryInstructionSetHasTheScalarBits) {
  for_each_set([](const VectorKernels& fast) {
    for (const std::int32_t n : {1, 15, 16, 17, 40, 64, 100, 576, 1536}) {
      SCOPED_TRACE(n);
      const auto size = static_cast<std::size_t>(n);
      const Floats x = random_floats(size, 3.0F, 1);
      const Floats y = random_floats(size, 2.0F, 2);
      EXPECT_EQ(fast.inverse_rms(x.data(), n, 1e-5F), scalar().inverse_rms(x.data(), n, 1e-5F));
      EXPECT_EQ(fast.peak(x.data(), n), scalar().peak(x.data(), n));
      const auto both = [&](const char* what, auto&& compute) {
        SCOPED_TRACE(what);
        Floats a = x;
        Floats b = x;
        compute(scalar(), a);
        compute(fast, b);
        EXPECT_TRUE(same_bits(a, b));
      };
      both("normalize", [&](const VectorKernels& k, Floats& out) {
        k.normalize(x.data(), y.data(), 0.37F, out.data(), n);
      });
      both("add_to", [&](const VectorKernels& k, Floats& out) { k.add_to(y.data(), out.data(), n); });
      both("scale", [&](const VectorKernels& k, Floats& out) { k.scale(x.data(), 0.125F, out.data(), n); });
      both("add_scaled",
           [&](const VectorKernels& k, Floats& out) { k.add_scaled(y.data(), 0.3F, out.data(), n); });
      for (const std::int32_t rank : {0, 1, 5, 16}) {
        const std::ptrdiff_t stride = n + 3;
        const Floats inner = random_floats(16, 1.0F, 3);
        const Floats up = random_floats(16 * static_cast<std::size_t>(stride), 1.0F, 4);
        both("add_low_rank", [&](const VectorKernels& k, Floats& out) {
          k.add_low_rank(inner.data(), rank, up.data(), stride, out.data(), n);
        });
        Floats expected = x;
        for (std::size_t k = 0; k < static_cast<std::size_t>(rank); ++k) {
          for (std::size_t i = 0; i < size; ++i)
            expected[i] = std::fma(inner[k], up[k * static_cast<std::size_t>(stride) + i], expected[i]);
        }
        Floats got = x;
        fast.add_low_rank(inner.data(), rank, up.data(), stride, got.data(), n);
        EXPECT_TRUE(same_bits(got, expected));
      }
      both("softcap", [&](const VectorKernels& k, Floats& out) { k.softcap(out.data(), 1.5F, n); });
      EXPECT_EQ(fast.mean(x.data(), n), scalar().mean(x.data(), n));
      EXPECT_EQ(fast.inverse_deviation(x.data(), 0.2F, n, 1e-5F),
                scalar().inverse_deviation(x.data(), 0.2F, n, 1e-5F));
      for (const float* bias : {static_cast<const float*>(nullptr), y.data()}) {
        both("normalize_centered", [&](const VectorKernels& k, Floats& out) {
          k.normalize_centered(out.data(), y.data(), bias, 0.2F, 0.37F, out.data(), n);
        });
      }
      for (const Activation activation : kActivations) {
        for (const float* up : {static_cast<const float*>(nullptr), y.data()}) {
          both("gate",
               [&](const VectorKernels& k, Floats& out) { k.gate(activation, x.data(), up, out.data(), n); });
        }
      }
      if (n % 2 != 0) continue;
      for (const bool traditional : {false, true}) {
        both("rotate", [&](const VectorKernels& k, Floats& out) {
          k.rotate(out.data(), y.data(), y.data() + n / 2, n / 2, traditional);
        });
      }
    }
  });
}

TEST(VectorKernels, HalvesAreTheSameEverywhereAndSaturate) {
  Floats values;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = ScalarVector::half_to_float(static_cast<std::uint16_t>(bits));
    if (std::isnan(value)) continue;
    // The value itself, the middle to its neighbour and both sides of that: every rounding decision.
    const float next = ScalarVector::half_to_float(static_cast<std::uint16_t>(bits + 1));
    const float middle = value + (next - value) / 2;
    for (const float x : {value, middle, std::nextafter(middle, value), std::nextafter(middle, next)}) {
      values.push_back(std::isnan(x) ? value : x);
    }
    if (std::abs(value) <= 65504.0F) {
      ASSERT_EQ(ScalarVector::float_to_half(value), bits);
    }
  }
  values.insert(values.end(), {1e9F, -1e9F, std::numeric_limits<float>::infinity(),
                               -std::numeric_limits<float>::infinity(), std::nanf(""), 1e-30F, -1e-30F});
  values.resize((values.size() + 15) / 16 * 16);
  const auto n = static_cast<std::int32_t>(values.size());
  std::vector<std::uint16_t> expected(values.size());
  scalar().to_half(values.data(), expected.data(), n);
  for (const std::uint16_t half : expected) ASSERT_LE(half & 0x7FFF, 0x7BFF) << "not finite";
  for_each_set([&](const VectorKernels& fast) {
    std::vector<std::uint16_t> halves(values.size());
    fast.to_half(values.data(), halves.data(), n);
    EXPECT_EQ(halves, expected);
  });
}

TEST(VectorKernels, BfloatsAreTheSameEverywhereAndSaturate) {
  Floats values;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = ScalarVector::bfloat_to_float(static_cast<std::uint16_t>(bits));
    if (!std::isfinite(value)) continue;
    ASSERT_EQ(ScalarVector::float_to_bfloat(value), bits);
    const auto middle = std::bit_cast<float>((bits << 16U) + 0x8000U);
    for (const float x : {value, middle, std::nextafter(middle, value), std::nextafter(middle, 2 * middle)})
      values.push_back(x);
  }
  values.insert(values.end(), {std::numeric_limits<float>::infinity(),
                               -std::numeric_limits<float>::infinity(), std::nanf("")});
  values.resize((values.size() + 15) / 16 * 16);
  const auto n = static_cast<std::int32_t>(values.size());
  std::vector<std::uint16_t> expected(values.size());
  scalar().to_bfloat(values.data(), expected.data(), n);
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_LE(expected[i] & 0x7FFF, 0x7F7F) << "not finite";
    const auto x = static_cast<double>(values[i]);
    if (std::abs(x) < 3.38e38) {
      ASSERT_NEAR(ScalarVector::bfloat_to_float(expected[i]), x, std::abs(x) / 256 + 1e-40);
    }
  }
  for_each_set([&](const VectorKernels& fast) {
    std::vector<std::uint16_t> halves(values.size());
    fast.to_bfloat(values.data(), halves.data(), n);
    EXPECT_EQ(halves, expected);
  });
}

TEST(VectorKernels, Int8CodesAreTheSameEverywhereAndHalfAStepOff) {
  const auto check = [](const Floats& x) {
    const auto n = static_cast<std::int32_t>(x.size());
    std::vector<std::int8_t> expected(x.size());
    const float scale = scalar().to_int8(x.data(), expected.data(), n);
    ASSERT_TRUE(std::isfinite(scale));
    for (std::size_t i = 0; i < x.size(); ++i) {
      ASSERT_GE(expected[i], -127);
      const float bounded = std::clamp(std::isnan(x[i]) ? -65504.0F : x[i], -65504.0F, 65504.0F);
      ASSERT_LE(std::abs(static_cast<float>(expected[i]) * scale - bounded), scale * 0.501F + 1e-30F) << x[i];
    }
    for_each_set([&](const VectorKernels& fast) {
      std::vector<std::int8_t> codes(x.size());
      EXPECT_EQ(fast.to_int8(x.data(), codes.data(), n), scale);
      EXPECT_EQ(codes, expected);
    });
  };
  for (const std::size_t n : {16U, 64U, 80U, 256U}) {
    for (std::uint32_t seed = 0; seed < 50; ++seed) check(random_floats(n, 2.0F, seed));
  }
  check(Floats(32, 0.0F));
  check(Floats(32, 1e-38F));
  Floats steps(256);  // every code and every middle between two
  for (std::size_t i = 0; i < steps.size(); ++i) steps[i] = static_cast<float>(i) / 2 - 0.5F;
  check(steps);
  Floats wild(48, 3.0F);
  wild[5] = std::nanf("");
  wild[20] = std::numeric_limits<float>::infinity();
  wild[40] = -1e9F;
  check(wild);
}

TEST(VectorKernels, ActivationsAreAccurate) {
  Floats x;
  for (float value = -100.0F; value <= 100.0F; value += 0.01F) x.push_back(value);
  const Floats ones(x.size(), 1.0F);
  Floats out(x.size());
  const auto check = [&](Activation activation, auto&& exact, double absolute = 1e-12) {
    scalar().gate(activation, x.data(), ones.data(), out.data(), static_cast<std::int32_t>(x.size()));
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double expected = exact(static_cast<double>(x[i]));
      ASSERT_NEAR(out[i], expected, 1e-6 * std::abs(expected) + absolute) << x[i];
    }
  };
  check(Activation::kSilu, [](double v) { return v / (1 + std::exp(-v)); });
  check(Activation::kGeluTanh, [](double v) {
    const double u = std::sqrt(2 / 3.14159265358979) * (v + 0.044715 * v * v * v);
    return v / (1 + std::exp(-2 * u));
  });
  check(
      Activation::kGelu, [](double v) { return v / 2 * (1 + std::erf(v / std::sqrt(2.0))); }, 1e-6);
  check(Activation::kSigmoid, [](double v) { return 1 / (1 + std::exp(-v)); });
  check(Activation::kRelu, [](double v) { return v > 0 ? v : 0; });
  check(Activation::kRelu2, [](double v) { return v > 0 ? v * v : 0; });
}

TEST(VectorKernels, LayerNormAndSoftcapAreWhatTheyShouldBe) {
  constexpr std::int32_t kSize = 100;
  const Floats x = random_floats(kSize, 3.0F, 21);
  const Floats weight = random_floats(kSize, 1.0F, 22);
  const Floats bias = random_floats(kSize, 1.0F, 23);
  double mean = 0;
  for (const float value : x) mean += static_cast<double>(value) / kSize;
  double variance = 0;
  for (const float value : x) variance += std::pow(static_cast<double>(value) - mean, 2) / kSize;
  Floats out(kSize);
  const float fast_mean = scalar().mean(x.data(), kSize);
  scalar().normalize_centered(x.data(), weight.data(), bias.data(), fast_mean,
                              scalar().inverse_deviation(x.data(), fast_mean, kSize, 1e-5F), out.data(),
                              kSize);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double normed = (static_cast<double>(x[i]) - mean) / std::sqrt(variance + 1e-5);
    EXPECT_NEAR(out[i], normed * static_cast<double>(weight[i]) + static_cast<double>(bias[i]), 1e-5);
  }
  out = x;
  scalar().softcap(out.data(), 2.0F, kSize);
  for (std::size_t i = 0; i < x.size(); ++i)
    EXPECT_NEAR(out[i], 2.0 * std::tanh(static_cast<double>(x[i]) / 2.0), 1e-6);
}

TEST(VectorKernels, SplitsIntoWhatInt8HoldsAndTheRest) {
  constexpr std::int32_t kSize = 96;
  Floats x = random_floats(kSize, 1.0F, 8);
  std::fill(x.begin() + 32, x.begin() + 64, 0.0F);
  x[70] = 300.0F;
  Floats high(kSize);
  Floats low(kSize);
  scalar().split(x.data(), high.data(), low.data(), kSize);
  for (std::size_t i = 0; i < kSize; ++i) {
    EXPECT_FLOAT_EQ(high[i] + low[i], x[i]);
    EXPECT_LE(std::abs(low[i]), (i < 32 ? 4.0F : 300.0F) / 253.0F);
  }
  for_each_set([&](const VectorKernels& fast) {
    Floats fast_high = x;
    Floats fast_low(kSize);
    fast.split(fast_high.data(), fast_high.data(), fast_low.data(), kSize);  // in place
    EXPECT_TRUE(same_bits(fast_high, high));
    EXPECT_TRUE(same_bits(fast_low, low));
  });
}

TEST(VectorKernels, RotatesPairsByTheirAngles) {
  for (const bool traditional : {false, true}) {
    Floats head = {1, 2, 3, 4, 5};  // two pairs, one element that does not take part
    const Floats cosines = {0.6F, 0.8F};
    const Floats sines = {0.8F, -0.6F};
    scalar().rotate(head.data(), cosines.data(), sines.data(), 2, traditional);
    const std::size_t second = traditional ? 1 : 2;  // partner of element 0
    const float a = 1;
    const float b = traditional ? 2 : 3;
    EXPECT_FLOAT_EQ(head[0], a * 0.6F - b * 0.8F);
    EXPECT_FLOAT_EQ(head[second], b * 0.6F + a * 0.8F);
    EXPECT_EQ(head[4], 5);
  }
}

TEST(VectorKernels, PeakIsTheFirstLargestNumber) {
  const float nan = std::nanf("");
  const float lowest = -std::numeric_limits<float>::infinity();
  const auto check = [](const Floats& x, std::int32_t expected) {
    EXPECT_EQ(scalar().peak(x.data(), static_cast<std::int32_t>(x.size())), expected);
    for_each_set([&](const VectorKernels& fast) {
      EXPECT_EQ(fast.peak(x.data(), static_cast<std::int32_t>(x.size())), expected);
    });
  };
  check({3, 7, 7, 1}, 1);
  check({nan, 2, nan, 5, 5}, 3);
  check(Floats(40, nan), -1);
  check(Floats(40, lowest), -1);
  Floats late(100, 1.0F);
  late[97] = 2.0F;
  late[99] = 2.0F;
  check(late, 97);
}

TEST(VectorKernels, ProductMatchesADoubleSumWhateverTheTile) {
  for (const std::int32_t features : {7, 32, 100}) {
    constexpr std::int32_t kRows = 9;
    constexpr std::int32_t kOutputs = 11;
    const Floats x = random_floats(static_cast<std::size_t>(kRows * features), 1.0F, 3);
    const Floats w = random_floats(static_cast<std::size_t>(kOutputs * features), 1.0F, 4);
    Floats expected(kRows * kOutputs);
    scalar().product(x.data(), features, kRows, w.data(), features, kOutputs, expected.data(), kOutputs);
    for (std::int32_t m = 0; m < kRows; ++m) {
      for (std::int32_t o = 0; o < kOutputs; ++o) {
        double sum = 0;
        for (std::int32_t k = 0; k < features; ++k) {
          sum += static_cast<double>(x[static_cast<std::size_t>(m * features + k)]) *
                 static_cast<double>(w[static_cast<std::size_t>(o * features + k)]);
        }
        EXPECT_NEAR(expected[static_cast<std::size_t>(m * kOutputs + o)], sum, 1e-4);
      }
    }
    for_each_set([&](const VectorKernels& fast) {
      Floats y(expected.size());
      fast.product(x.data(), features, kRows, w.data(), features, kOutputs, y.data(), kOutputs);
      EXPECT_TRUE(same_bits(y, expected));
      for (std::int32_t m = 0; m < kRows; ++m) {
        fast.product(x.data() + m * features, features, 1, w.data(), features, kOutputs,
                     y.data() + m * kOutputs, kOutputs);
      }
      EXPECT_TRUE(same_bits(y, expected));
    });
  }
}

}  // namespace
}  // namespace mlxd
