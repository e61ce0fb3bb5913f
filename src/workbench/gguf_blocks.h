// The blocks of GGUF's quantized types, as ggml-common.h and ggml-quants.c of
// https://github.com/ggml-org/ggml define them, taken apart: codes, and what multiplies and shifts them.
// Nothing is rounded: a scale is a half times a whole number of at most 8 bits, which single precision holds.
// Pure functions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "model/gguf.h"

namespace mlxd {

/// Values of a row that are stored as one group; every quantized type's blocks are whole groups.
inline constexpr std::size_t kGgufGroupElements = 32;

/// 32 neighbours of a row: value i is codes[i] · scales[i / 16] + biases[i / 16]. Both halves of a group have
/// the same scale and bias unless the type is one of those of `has_groups_of_16`.
struct GgufGroup {
  std::array<std::uint8_t, kGgufGroupElements> codes{};
  std::array<float, 2> scales{};
  std::array<float, 2> biases{};
};

/// Bits that hold the codes of `read_groups`; 0 for dense types. Codes of IQ4_NL and IQ4_XS come as the table
/// entries that they stand for, in 8 bits.
std::int32_t code_bits(GgufType type);

/// Types whose scales belong to 16 values: Q2_K, Q3_K and Q6_K.
bool has_groups_of_16(GgufType type);

/// Types whose scale is a product that half precision may have to round.
bool has_product_scales(GgufType type);

/// Takes one block of a quantized type apart: block_of(type).elements / 32 groups.
void read_groups(GgufType type, const std::byte* block, std::span<GgufGroup> groups);

}  // namespace mlxd
