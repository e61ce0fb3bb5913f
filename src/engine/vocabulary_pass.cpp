#include "engine/vocabulary_pass.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

// Wider instructions where the machine has them; elementwise arithmetic gives the same bits in all of them.
// The resolver that picks one runs too early for sanitizers.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(MLXD_SANITIZED)
#define MLXD_WIDER_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define MLXD_WIDER_CLONES
#endif

namespace mlxd {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
constexpr std::size_t kLanes = 16;
static_assert(kVocabularyBlock % kLanes == 0);

// exp(x) for x in [-88, 0] within 2 units in the last place: Cody–Waite reduction by multiples of ln 2, then
// the degree-5 polynomial of Cephes' expf.
inline float exp_of_nonpositive(float x) {
  constexpr float kLog2E = 1.44269504088896341F;
  constexpr float kLn2High = 0.693359375F;
  constexpr float kLn2Low = -2.12194440e-4F;
  constexpr float kRoundToInteger = 12582912.0F;  // 1.5 * 2^23
  const float n = (x * kLog2E + kRoundToInteger) - kRoundToInteger;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = (p * r) * r + r + 1.0F;
  const std::int32_t exponent_bits = (static_cast<std::int32_t>(n) + 127) * (1 << 23);
  return p * std::bit_cast<float>(exponent_bits);
}

inline std::int64_t weight_of(float logit, float largest, float inverse_temperature) {
  const float exponent = (logit - largest) * inverse_temperature;
  // False for NaN as well. Below -64 the weight is 0 anyhow.
  const float bounded = exponent > -64.0F ? exponent : -64.0F;
  return static_cast<std::int64_t>(exp_of_nonpositive(bounded) * static_cast<float>(kWeightOne));
}

}  // namespace

MLXD_WIDER_CLONES
void block_maxima(std::span<const float> logits, std::span<float> maxima) {
  const std::size_t whole_blocks = logits.size() / kVocabularyBlock;
  for (std::size_t block = 0; block < whole_blocks; ++block) {
    const float* x = logits.data() + block * kVocabularyBlock;
    std::array<float, kLanes> lanes;
    lanes.fill(kMinusInfinity);
    for (std::size_t i = 0; i < kVocabularyBlock; i += kLanes) {
      for (std::size_t l = 0; l < kLanes; ++l) lanes[l] = x[i + l] > lanes[l] ? x[i + l] : lanes[l];
    }
    for (std::size_t width = kLanes / 2; width > 0; width /= 2) {
      for (std::size_t l = 0; l < width; ++l)
        lanes[l] = lanes[l + width] > lanes[l] ? lanes[l + width] : lanes[l];
    }
    maxima[block] = lanes[0];
  }
  if (whole_blocks * kVocabularyBlock < logits.size()) {
    float largest = kMinusInfinity;
    for (const float x : logits.subspan(whole_blocks * kVocabularyBlock)) largest = x > largest ? x : largest;
    maxima[whole_blocks] = largest;
  }
}

MLXD_WIDER_CLONES
void token_weights(std::span<const float> logits, float largest, float inverse_temperature,
                   std::span<std::uint64_t> weights) {
  const float* x = logits.data();
  std::uint64_t* w = weights.data();
  const std::size_t size = logits.size();
  for (std::size_t i = 0; i < size; ++i)
    w[i] = static_cast<std::uint64_t>(weight_of(x[i], largest, inverse_temperature));
}

MLXD_WIDER_CLONES
std::uint64_t total_weight(std::span<const float> logits, float largest, float inverse_temperature) {
  const float* x = logits.data();
  const std::size_t size = logits.size();
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < size; ++i) sum += weight_of(x[i], largest, inverse_temperature);
  return static_cast<std::uint64_t>(sum);
}

double portable_log(double x) {
  constexpr double kLn2 = 0.693147180559945309417;
  constexpr double kSqrtHalf = 0.707106781186547524401;
  int exponent = 0;
  double mantissa = std::frexp(x, &exponent);  // exact
  if (mantissa < kSqrtHalf) {
    mantissa *= 2.0;
    --exponent;
  }
  // ln m = 2 artanh((m - 1) / (m + 1)), by its series: |s| < 0.172, so the term after s^21 is below 1e-17.
  const double s = (mantissa - 1.0) / (mantissa + 1.0);
  const double s2 = s * s;
  double series = 0.0;
  for (int k = 21; k >= 1; k -= 2) series = series * s2 + 1.0 / k;
  return static_cast<double>(exponent) * kLn2 + 2.0 * s * series;
}

}  // namespace mlxd
