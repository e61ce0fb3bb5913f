#include "workbench/gguf_blocks.h"

#include <cstring>

#include "model/float_formats.h"

namespace mlxd {
namespace {

unsigned byte_at(const std::byte* bytes, std::size_t index) {
  return std::to_integer<unsigned>(bytes[index]);
}

unsigned word_at(const std::byte* bytes) { return byte_at(bytes, 0) | byte_at(bytes, 1) << 8U; }

float half_at(const std::byte* bytes) { return half_to_float(static_cast<std::uint16_t>(word_at(bytes))); }

int signed_byte_at(const std::byte* bytes, std::size_t index) {
  return static_cast<std::int8_t>(byte_at(bytes, index));
}

void set_scale(GgufGroup& group, float scale, float bias) {
  group.scales = {scale, scale};
  group.biases = {bias, bias};
}

template <typename CodeOf>
void set_codes(GgufGroup& group, const CodeOf& code_of) {
  for (std::size_t i = 0; i < kGgufGroupElements; ++i) {
    group.codes[i] = static_cast<std::uint8_t>(code_of(i));
  }
}

// 16 bytes: low nibbles are elements 0 … 15, high ones 16 … 31.
unsigned split_nibble(const std::byte* bytes, std::size_t i) {
  const unsigned byte = byte_at(bytes, i % 16);
  return i < 16 ? byte & 0xFU : byte >> 4U;
}

// The blocks of 32: Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0.
void read_simple(GgufType type, const std::byte* block, GgufGroup& group) {
  const float d = half_at(block);
  // Element i's fifth bit is bit i of a 32-bit word.
  const auto five_bits = [&](const std::byte* fifth, const std::byte* nibbles) {
    set_codes(group, [=](std::size_t i) {
      return split_nibble(nibbles, i) | (byte_at(fifth, i / 8) >> (i % 8) & 1U) << 4U;
    });
  };
  switch (type) {
    case GgufType::kQ4_0:
      set_scale(group, d, -8.0F * d);
      set_codes(group, [=](std::size_t i) { return split_nibble(block + 2, i); });
      break;
    case GgufType::kQ4_1:
      set_scale(group, d, half_at(block + 2));
      set_codes(group, [=](std::size_t i) { return split_nibble(block + 4, i); });
      break;
    case GgufType::kQ5_0:
      set_scale(group, d, -16.0F * d);
      five_bits(block + 2, block + 6);
      break;
    case GgufType::kQ5_1:
      set_scale(group, d, half_at(block + 2));
      five_bits(block + 4, block + 8);
      break;
    default:  // Q8_0
      set_scale(group, d, -128.0F * d);
      set_codes(group, [=](std::size_t i) { return 128 + signed_byte_at(block, 2 + i); });
      break;
  }
}

// 256 values in 8 groups whose scales and minima, 6 bits each, lie in 12 bytes: the first four groups' in the
// low bits of bytes 0 … 3 and 4 … 7, the others' in the nibbles of bytes 8 … 11 and the top bits of the first
// eight.
struct ScaleAndMinimum {
  unsigned scale, minimum;
};
ScaleAndMinimum scale_and_minimum(const std::byte* packed, std::size_t group) {
  if (group < 4) return {byte_at(packed, group) & 63U, byte_at(packed, group + 4) & 63U};
  const unsigned low = byte_at(packed, group + 4);
  return {(low & 0xFU) | byte_at(packed, group - 4) >> 6U << 4U,
          low >> 4U | byte_at(packed, group) >> 6U << 4U};
}

// Q4_K: d, dmin, 12 bytes of scales, 128 of nibbles; Q5_K has 32 bytes of fifth bits before the nibbles,
// group g's in bit g. Two groups share 32 bytes of nibbles.
void read_k4_or_k5(GgufType type, const std::byte* block, std::span<GgufGroup> groups) {
  const float d = half_at(block);
  const float dmin = half_at(block + 2);
  const bool has_fifth = type == GgufType::kQ5_K;
  const std::byte* fifth = block + 16;
  const std::byte* nibbles = block + (has_fifth ? 48 : 16);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const auto [scale, minimum] = scale_and_minimum(block + 4, g);
    set_scale(groups[g], d * static_cast<float>(scale), -dmin * static_cast<float>(minimum));
    set_codes(groups[g], [=](std::size_t i) {
      const unsigned nibble = byte_at(nibbles, g / 2 * 32 + i) >> (g % 2 * 4) & 0xFU;
      return has_fifth ? nibble | (byte_at(fifth, i) >> g & 1U) << 4U : nibble;
    });
  }
}

// Q2_K: 16 bytes of scale and minimum (4 bits each), 64 of codes, d, dmin. Four groups share 32 bytes.
void read_k2(const std::byte* block, std::span<GgufGroup> groups) {
  const float d = half_at(block + 80);
  const float dmin = half_at(block + 82);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (std::size_t half = 0; half < 2; ++half) {
      const unsigned packed = byte_at(block, 2 * g + half);
      groups[g].scales[half] = d * static_cast<float>(packed & 0xFU);
      groups[g].biases[half] = -dmin * static_cast<float>(packed >> 4U);
    }
    set_codes(groups[g],
              [=](std::size_t i) { return byte_at(block, 16 + g / 4 * 32 + i) >> (g % 4 * 2) & 3U; });
  }
}

// Q3_K: 32 bytes of third bits (group g's in bit g), 64 of the lower two, 12 of scales (6 bits, less 32), d.
void read_k3(const std::byte* block, std::span<GgufGroup> groups) {
  const std::byte* scales = block + 96;
  const float d = half_at(block + 108);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (std::size_t half = 0; half < 2; ++half) {
      const std::size_t index = 2 * g + half;
      const unsigned low = byte_at(scales, index % 8) >> (index / 8 * 4) & 0xFU;
      const unsigned high = byte_at(scales, 8 + index % 4) >> (index / 4 * 2) & 3U;
      const float scale = d * static_cast<float>(static_cast<int>(low | high << 4U) - 32);
      groups[g].scales[half] = scale;
      groups[g].biases[half] = -4.0F * scale;
    }
    set_codes(groups[g], [=](std::size_t i) {
      return (byte_at(block, 32 + g / 4 * 32 + i) >> (g % 4 * 2) & 3U) | (byte_at(block, i) >> g & 1U) << 2U;
    });
  }
}

// Q6_K: 128 bytes of lower nibbles, 64 of upper two bits, 16 scales of a signed byte, d. Half a block, four
// groups, shares 64 bytes of nibbles and 32 of upper bits.
void read_k6(const std::byte* block, std::span<GgufGroup> groups) {
  const float d = half_at(block + 208);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (std::size_t half = 0; half < 2; ++half) {
      const float scale = d * static_cast<float>(signed_byte_at(block, 192 + 2 * g + half));
      groups[g].scales[half] = scale;
      groups[g].biases[half] = -32.0F * scale;
    }
    const std::size_t part = g / 4;
    const std::size_t k = g % 4;
    set_codes(groups[g], [=](std::size_t i) {
      const unsigned low = byte_at(block, part * 64 + k % 2 * 32 + i) >> (k / 2 * 4) & 0xFU;
      return low | (byte_at(block, 128 + part * 32 + i) >> (2 * k) & 3U) << 4U;
    });
  }
}

// What the nibbles of IQ4_NL and IQ4_XS stand for, plus 128 (ggml's kvalues_iq4nl).
constexpr std::array<std::uint8_t, 16> kNonlinear = {1,   24,  45,  63,  79,  93,  106, 118,
                                                     129, 141, 153, 166, 181, 197, 217, 241};

void read_nonlinear(const std::byte* nibbles, float scale, GgufGroup& group) {
  set_scale(group, scale, -128.0F * scale);
  set_codes(group, [=](std::size_t i) { return kNonlinear[split_nibble(nibbles, i)]; });
}

// IQ4_XS: d, 16 bits with the upper two bits of each group's scale, 4 bytes with their lower four, nibbles.
void read_iq4_xs(const std::byte* block, std::span<GgufGroup> groups) {
  const float d = half_at(block);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const unsigned low = byte_at(block, 4 + g / 2) >> (g % 2 * 4) & 0xFU;
    const unsigned high = word_at(block + 2) >> (2 * g) & 3U;
    const float scale = d * static_cast<float>(static_cast<int>(low | high << 4U) - 32);
    read_nonlinear(block + 8 + 16 * g, scale, groups[g]);
  }
}

}  // namespace

std::int32_t code_bits(GgufType type) {
  switch (type) {
    case GgufType::kQ2_K:
      return 2;
    case GgufType::kQ3_K:
      return 3;
    case GgufType::kQ4_0:
    case GgufType::kQ4_1:
    case GgufType::kQ4_K:
      return 4;
    case GgufType::kQ5_0:
    case GgufType::kQ5_1:
    case GgufType::kQ5_K:
      return 5;
    case GgufType::kQ6_K:
      return 6;
    case GgufType::kQ8_0:
    case GgufType::kIQ4_NL:
    case GgufType::kIQ4_XS:
      return 8;
    case GgufType::kF32:
    case GgufType::kF16:
    case GgufType::kBF16:
      return 0;
  }
  return 0;
}

bool has_groups_of_16(GgufType type) {
  return type == GgufType::kQ2_K || type == GgufType::kQ3_K || type == GgufType::kQ6_K;
}

bool has_product_scales(GgufType type) {
  return type == GgufType::kQ4_K || type == GgufType::kQ5_K || type == GgufType::kIQ4_XS ||
         has_groups_of_16(type);
}

void read_groups(GgufType type, const std::byte* block, std::span<GgufGroup> groups) {
  switch (type) {
    case GgufType::kQ2_K:
      return read_k2(block, groups);
    case GgufType::kQ3_K:
      return read_k3(block, groups);
    case GgufType::kQ4_K:
    case GgufType::kQ5_K:
      return read_k4_or_k5(type, block, groups);
    case GgufType::kQ6_K:
      return read_k6(block, groups);
    case GgufType::kIQ4_NL:
      return read_nonlinear(block + 2, half_at(block), groups[0]);
    case GgufType::kIQ4_XS:
      return read_iq4_xs(block, groups);
    default:
      return read_simple(type, block, groups[0]);
  }
}

}  // namespace mlxd
