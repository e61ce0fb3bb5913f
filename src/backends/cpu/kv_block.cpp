#include "backends/cpu/kv_block.h"

#include <array>
#include <cstring>
#include <string>

#include "backends/cpu/vector_kernels.h"

namespace mlxd {
namespace {

struct NamedFormat {
  KvFormat format;
  std::string_view name;
  std::size_t element_bytes;
};
constexpr std::array<NamedFormat, 4> kFormats = {{{KvFormat::kFloat16, "fp16", 2},
                                                  {KvFormat::kBFloat16, "bf16", 2},
                                                  {KvFormat::kInt8, "int8", 1},
                                                  {KvFormat::kFloat32, "fp32", 4}}};

const NamedFormat& entry_of(KvFormat format) { return kFormats[static_cast<std::size_t>(format)]; }

template <typename Element>
void write_column(const Element* from, std::byte* block, std::int32_t slot, std::int32_t head_dim) {
  auto* to = reinterpret_cast<Element*>(block) + slot;
  for (std::int32_t d = 0; d < head_dim; ++d) to[d * kPageTokens] = from[d];
}

float* scale_of(const KvBlockLayout& layout, std::byte* block, std::int32_t index) {
  return reinterpret_cast<float*>(block + layout.scales_offset) + index;
}

}  // namespace

std::string_view to_string(KvFormat format) { return entry_of(format).name; }

Result<KvFormat> parse_kv_format(std::string_view name) {
  for (const NamedFormat& entry : kFormats) {
    if (entry.name == name) return entry.format;
  }
  return invalid_argument("K/V format '" + std::string(name) +
                          "' does not exist; fp16, bf16, int8 and fp32 do");
}

KvBlockLayout::KvBlockLayout(KvFormat block_format, std::int32_t block_head_dim)
    : format(block_format),
      head_dim(block_head_dim),
      element_bytes(entry_of(block_format).element_bytes),
      values_offset(element_bytes * static_cast<std::size_t>(kPageTokens * block_head_dim)),
      scales_offset(2 * values_offset),
      num_bytes(scales_offset + (block_format == KvFormat::kInt8 ? 2 * kPageTokens * sizeof(float) : 0)) {}

void write_key(const VectorKernels& kernels, const KvBlockLayout& layout, std::byte* block, std::int32_t slot,
               const float* key) {
  const std::int32_t head_dim = layout.head_dim;
  std::array<std::uint16_t, kMaxKernelHeadDim> halves;
  std::array<std::int8_t, kMaxKernelHeadDim> codes;
  switch (layout.format) {
    case KvFormat::kFloat16:
      kernels.to_half(key, halves.data(), head_dim);
      write_column(halves.data(), block, slot, head_dim);
      break;
    case KvFormat::kBFloat16:
      kernels.to_bfloat(key, halves.data(), head_dim);
      write_column(halves.data(), block, slot, head_dim);
      break;
    case KvFormat::kInt8:
      *scale_of(layout, block, slot) = kernels.to_int8(key, codes.data(), head_dim);
      write_column(codes.data(), block, slot, head_dim);
      break;
    case KvFormat::kFloat32:
      write_column(key, block, slot, head_dim);
      break;
  }
}

void write_value(const VectorKernels& kernels, const KvBlockLayout& layout, std::byte* block,
                 std::int32_t slot, const float* value) {
  const std::int32_t head_dim = layout.head_dim;
  std::byte* to =
      block + layout.values_offset + layout.element_bytes * static_cast<std::size_t>(slot * head_dim);
  switch (layout.format) {
    case KvFormat::kFloat16:
      kernels.to_half(value, reinterpret_cast<std::uint16_t*>(to), head_dim);
      break;
    case KvFormat::kBFloat16:
      kernels.to_bfloat(value, reinterpret_cast<std::uint16_t*>(to), head_dim);
      break;
    case KvFormat::kInt8:
      *scale_of(layout, block, kPageTokens + slot) =
          kernels.to_int8(value, reinterpret_cast<std::int8_t*>(to), head_dim);
      break;
    case KvFormat::kFloat32:
      std::memcpy(to, value, static_cast<std::size_t>(head_dim) * sizeof(float));
      break;
  }
}

}  // namespace mlxd
