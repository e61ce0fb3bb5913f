#include "workbench/gguf_weights.h"

#include <array>
#include <cmath>
#include <cstring>

#include "model/float_formats.h"
#include "model/quantize.h"

namespace mlxd {
namespace {

constexpr std::size_t kBlockElements = 32;
constexpr float kLargestHalf = 65504.0F;

// One block as affine codes: value = code * scale + bias, exactly.
struct AffineBlock {
  std::array<std::uint8_t, kBlockElements> codes{};
  float scale = 0.0F;
  float bias = 0.0F;
};

std::uint16_t read_u16(const std::byte* bytes) {
  std::uint16_t value = 0;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

std::int32_t bits_of(GgufType type) {
  switch (type) {
    case GgufType::kQ4_0:
    case GgufType::kQ4_1:
      return 4;
    case GgufType::kQ5_0:
    case GgufType::kQ5_1:
      return 5;
    case GgufType::kQ8_0:
      return 8;
    case GgufType::kF32:
    case GgufType::kF16:
    case GgufType::kBF16:
      return 0;
  }
  return 0;
}

DType dense_dtype(GgufType type) {
  if (type == GgufType::kF16) return DType::kF16;
  return type == GgufType::kBF16 ? DType::kBF16 : DType::kF32;
}

// Scale and bias of a block: what precedes its codes. Multiples by powers of two are exact in single
// precision.
void read_scale(GgufType type, const std::byte* block, AffineBlock& out) {
  out.scale = half_to_float(read_u16(block));
  switch (type) {
    case GgufType::kQ4_0:
      out.bias = -8.0F * out.scale;
      break;
    case GgufType::kQ5_0:
      out.bias = -16.0F * out.scale;
      break;
    case GgufType::kQ8_0:
      out.bias = -128.0F * out.scale;
      break;
    default:
      out.bias = half_to_float(read_u16(block + 2));
      break;
  }
}

// Low nibbles are elements 0 … 15, high ones 16 … 31.
void read_nibbles(const std::byte* bytes, AffineBlock& out) {
  for (std::size_t i = 0; i < 16; ++i) {
    const auto byte = std::to_integer<unsigned>(bytes[i]);
    out.codes[i] = static_cast<std::uint8_t>(byte & 0xFU);
    out.codes[i + 16] = static_cast<std::uint8_t>(byte >> 4U);
  }
}

// The fifth bit of element i is bit i of a 32-bit word.
void read_fifth_bits(const std::byte* bytes, AffineBlock& out) {
  std::uint32_t word = 0;
  std::memcpy(&word, bytes, sizeof(word));
  for (std::size_t i = 0; i < kBlockElements; ++i) {
    out.codes[i] = static_cast<std::uint8_t>(out.codes[i] | (((word >> i) & 1U) << 4U));
  }
}

void read_block(GgufType type, const std::byte* block, AffineBlock& out) {
  read_scale(type, block, out);
  switch (type) {
    case GgufType::kQ4_0:
      read_nibbles(block + 2, out);
      break;
    case GgufType::kQ4_1:
      read_nibbles(block + 4, out);
      break;
    case GgufType::kQ5_0:
      read_nibbles(block + 6, out);
      read_fifth_bits(block + 2, out);
      break;
    case GgufType::kQ5_1:
      read_nibbles(block + 8, out);
      read_fifth_bits(block + 4, out);
      break;
    default:
      for (std::size_t i = 0; i < kBlockElements; ++i) {
        const auto code = static_cast<std::int8_t>(std::to_integer<unsigned>(block[2 + i]));
        out.codes[i] = static_cast<std::uint8_t>(code + 128);
      }
      break;
  }
}

// Which source row becomes row `row`: Hugging Face keeps the two halves of a head apart, GGUF interleaves
// them.
std::size_t source_row(std::size_t row, std::int64_t rotary_head_dim) {
  if (rotary_head_dim == 0) return row;
  const auto head_dim = static_cast<std::size_t>(rotary_head_dim);
  const std::size_t in_head = row % head_dim;
  const std::size_t half = in_head / (head_dim / 2);
  return row - in_head + 2 * (in_head % (head_dim / 2)) + half;
}

std::size_t num_rows(const GgufTensor& tensor) {
  // A vector's elements move like a matrix's rows.
  return static_cast<std::size_t>(tensor.shape.front());
}

Result<void> write_dense(const StoragePlan& plan, WeightFilesWriter& writer) {
  const GgufTensor& source = *plan.source;
  const std::string name = layouts(plan).front().name;
  if (plan.rotary_head_dim == 0) return writer.write(name, source.data);
  const std::size_t rows = num_rows(source);
  const std::size_t row_bytes = source.data.size() / rows;
  std::vector<std::byte> data(source.data.size());
  for (std::size_t row = 0; row < rows; ++row) {
    std::memcpy(data.data() + row * row_bytes,
                source.data.data() + source_row(row, plan.rotary_head_dim) * row_bytes, row_bytes);
  }
  return writer.write(name, data);
}

}  // namespace

Result<StoragePlan> plan_storage(const GgufTensor& source, std::string name, std::int64_t rotary_head_dim) {
  StoragePlan plan;
  plan.source = &source;
  plan.name = std::move(name);
  plan.bits = bits_of(source.type);
  plan.rotary_head_dim = rotary_head_dim;
  if (plan.bits == 0) return plan;
  if (source.shape.size() != 2) {
    return unsupported("tensor " + source.name +
                       ": quantized, but not a matrix; norms and biases must be dense");
  }
  const auto block_bytes = static_cast<std::size_t>(block_of(source.type).bytes);
  for (std::size_t offset = 0; offset < source.data.size(); offset += block_bytes) {
    AffineBlock block;
    read_scale(source.type, source.data.data() + offset, block);
    if (!std::isfinite(block.scale) || !std::isfinite(block.bias)) {
      return corrupt_data("tensor " + source.name + ": block " + std::to_string(offset / block_bytes) +
                          " has a scale that is not finite; the file is damaged, download it again");
    }
    if (std::abs(block.bias) > kLargestHalf) plan.scale_dtype = DType::kF32;
  }
  return plan;
}

std::vector<TensorLayout> layouts(const StoragePlan& plan) {
  const GgufTensor& source = *plan.source;
  if (plan.bits == 0) {
    const bool is_matrix = source.shape.size() == 2;
    return {{is_matrix ? plan.name + ".weight" : plan.name, dense_dtype(source.type), source.shape}};
  }
  const std::int64_t rows = source.shape[0];
  const std::int64_t columns = source.shape[1];
  const std::vector<std::int64_t> groups = {rows, columns / kImportGroupSize};
  return {{plan.name + ".weight", DType::kU32, {rows, columns * plan.bits / 32}},
          {plan.name + ".scales", plan.scale_dtype, groups},
          {plan.name + ".biases", plan.scale_dtype, groups}};
}

Result<void> write_tensor(const StoragePlan& plan, WeightFilesWriter& writer) {
  if (plan.bits == 0) return write_dense(plan, writer);
  const GgufTensor& source = *plan.source;
  const std::vector<TensorLayout> parts = layouts(plan);
  const auto block_bytes = static_cast<std::size_t>(block_of(source.type).bytes);
  const std::size_t rows = num_rows(source);
  const std::size_t row_bytes = source.data.size() / rows;
  std::vector<std::uint32_t> words;
  std::vector<std::byte> scales;
  std::vector<std::byte> biases;
  words.reserve(parts[0].num_bytes() / sizeof(std::uint32_t));
  scales.reserve(parts[1].num_bytes());
  biases.reserve(parts[2].num_bytes());
  AffineBlock block;
  for (std::size_t row = 0; row < rows; ++row) {
    const std::byte* data = source.data.data() + source_row(row, plan.rotary_head_dim) * row_bytes;
    for (std::size_t offset = 0; offset < row_bytes; offset += block_bytes) {
      read_block(source.type, data + offset, block);
      append_codes(block.codes, plan.bits, words);
      append_float(plan.scale_dtype, block.scale, scales);
      append_float(plan.scale_dtype, block.bias, biases);
    }
  }
  TRY(writer.write(parts[0].name, std::as_bytes(std::span(words))));
  TRY(writer.write(parts[1].name, scales));
  return writer.write(parts[2].name, biases);
}

}  // namespace mlxd
