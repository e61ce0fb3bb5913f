// IEEE half precision and bfloat16 as raw 16-bit words, converted without hardware support so that files read
// the same on every machine. Not for inner loops: backends have their own.
#pragma once

#include <bit>
#include <cstdint>

namespace mlxd {

inline float bfloat16_to_float(std::uint16_t bits) {
  return std::bit_cast<float>(std::uint32_t{bits} << 16U);
}

/// Rounds to nearest, ties to even; NaN stays NaN.
inline std::uint16_t float_to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<std::uint16_t>((bits >> 16U) | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U);
}

float half_to_float(std::uint16_t bits);

/// The 4- and 8-bit formats of OCP Microscaling Formats 1.0. e2m1: a nibble, sign in bit 3, magnitudes 0,
/// 0.5, 1, 1.5, 2, 3, 4, 6. e4m3: up to 448, no infinity, 0x7F and 0xFF are NaN. e8m0: 2^(bits - 127), 255 is
/// NaN.
float e2m1_to_float(std::uint8_t code);
float e4m3_to_float(std::uint8_t bits);
float e8m0_to_float(std::uint8_t bits);

/// Of the nearest number. e4m3: ties to even, what is larger than 448 becomes 448, NaN stays NaN, −0 stays.
/// e2m1 (not for NaN): of ties the one nearer to zero, what is larger than 6 becomes 6, −0 becomes 0: so does
/// MLX's quantizer.
std::uint8_t float_to_e4m3(float value);
std::uint8_t float_to_e2m1(float value);

/// Rounds to nearest, ties to even; too large becomes infinity, NaN stays NaN.
std::uint16_t float_to_half(float value);

}  // namespace mlxd
