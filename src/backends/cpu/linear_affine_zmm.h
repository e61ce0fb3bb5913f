// Reading packed integer weights into 512-bit vectors, lane = output row. All in an unnamed namespace, see
// CMakeLists.txt.
#pragma once

#include <immintrin.h>

#include "backends/cpu/linear_affine_plan.h"

namespace mlxd {
namespace {

constexpr int kBlock = 16;
constexpr int kLine = 64;

inline __m512 load_scalars(const std::byte* p, ScalarType type) {
  if (type == ScalarType::kBF16) {
    const __m256i bits = _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  if (type == ScalarType::kF16)
    return _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(p)));
  return _mm512_load_ps(p);
}

constexpr int scalars_bytes(ScalarType type) { return type == ScalarType::kF32 ? 64 : 32; }

/// Half of 16 scales of one byte.
inline __m512 load_half_scales(const std::byte* p, ScalarType type) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  if (type == ScalarType::kE8M0) {
    const __m512i exponents = _mm512_slli_epi32(_mm512_cvtepu8_epi32(bytes), 23);
    const __m512i smallest = _mm512_set1_epi32(0x00400000);  // 2^-127, of exponent 0
    return _mm512_mul_ps(_mm512_castsi512_ps(_mm512_max_epu32(exponents, smallest)), _mm512_set1_ps(0.5F));
  }
  // Sign, exponent and mantissa of e4m3 where a half has them, which makes the number 2^8 times too small.
  const __m256i words = _mm256_slli_epi16(_mm256_cvtepi8_epi16(bytes), 7);
  const __m256i halves = _mm256_and_si256(words, _mm256_set1_epi16(static_cast<short>(0xBF80)));
  return _mm512_mul_ps(_mm512_cvtph_ps(halves), _mm512_set1_ps(128.0F));
}

/// Bytes of a plane's step: bits [position, position + width) of each byte to [to, to + width).
inline __attribute__((always_inline)) __m512i shifted(__m512i line, int position, int to) {
  if (position > to) return _mm512_srli_epi16(line, static_cast<unsigned>(position - to));
  if (position < to) return _mm512_slli_epi16(line, static_cast<unsigned>(to - position));
  return line;
}

/// The four codes of each row that meet step `step` of an activation group, unsigned; e2m1 as twice the
/// number plus kE2M1Offset.
template <Codes kCodes>
inline __attribute__((always_inline)) __m512i load_step(const std::byte* codes, int step) {
  constexpr int kBits = bits_of(kCodes);
  if constexpr (kBits == 8) {
    return _mm512_load_si512(codes + step * kLine);
  } else {
    constexpr int kLow = kBits >= 4 ? 4 : 2;
    constexpr int kHigh = kBits - kLow;
    constexpr int kLowSteps = 8 / kLow;  // in a line
    const __m512i low_line = _mm512_load_si512(codes + step / kLowSteps * kLine);
    const __m512i low = _mm512_and_si512(shifted(low_line, step % kLowSteps * kLow, 0),
                                         _mm512_set1_epi8(static_cast<char>((1 << kLow) - 1)));
    if constexpr (kCodes == Codes::kE2M1) {
      const __m128i numbers = _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0);
      return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(numbers), low);
    } else if constexpr (kHigh == 0) {
      return low;
    } else {
      constexpr int kHighSteps = 8 / kHigh;
      const __m512i high_line = _mm512_load_si512(codes + (kLow + step / kHighSteps) * kLine);
      const __m512i high = shifted(high_line, step % kHighSteps * kHigh, kLow);
      const __m512i mask = _mm512_set1_epi8(static_cast<char>(((1 << kHigh) - 1) << kLow));
      return _mm512_ternarylogic_epi32(low, high, mask, 0xF8);  // low | (high & mask)
    }
  }
}

}  // namespace
}  // namespace mlxd
