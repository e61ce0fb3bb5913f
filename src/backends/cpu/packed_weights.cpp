#include "backends/cpu/packed_weights.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>

#include "backends/cpu/weight_codes.h"
#include "base/check.h"
#include "model/float_formats.h"

namespace mlxd {
namespace {

constexpr std::int32_t kBlock = 16;
constexpr std::int32_t kActivationFeatures = 32;  // that codes lie together for
constexpr std::uint8_t kLargestE2M1Scale = 252;   // 2^125: six times this is within fp32

std::size_t scalar_bytes(ScalarType type) {
  switch (type) {
    case ScalarType::kF32:
      return 4;
    case ScalarType::kF16:
    case ScalarType::kBF16:
      return 2;
    case ScalarType::kE4M3:
    case ScalarType::kE8M0:
      return 1;
  }
  return 1;
}

std::size_t whole_lines(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

template <typename T>
T load(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

std::optional<ScalarType> scalar_type_of(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return ScalarType::kF16;
    case DType::kBF16:
      return ScalarType::kBF16;
    case DType::kF32:
      return ScalarType::kF32;
    default:
      return std::nullopt;
  }
}

float to_float(const std::byte* p, ScalarType type) {
  switch (type) {
    case ScalarType::kF32:
      return load<float>(p);
    case ScalarType::kF16:
      return half_to_float(load<std::uint16_t>(p));
    case ScalarType::kBF16:
      return bfloat16_to_float(load<std::uint16_t>(p));
    case ScalarType::kE4M3:
      return e4m3_to_float(load<std::uint8_t>(p));
    case ScalarType::kE8M0:
      return e8m0_to_float(load<std::uint8_t>(p));
  }
  return 0;
}

/// Whether all exponents are below the one of NaN and infinity. Written for the compiler's vectorizer.
bool all_finite(const std::byte* p, std::size_t count, ScalarType type) {
  std::uint32_t bad = 0;
  if (type == ScalarType::kF32) {
    for (std::size_t i = 0; i < count; ++i) {
      bad |= static_cast<std::uint32_t>((load<std::uint32_t>(p + 4 * i) & 0x7F800000U) == 0x7F800000U);
    }
  } else {
    const std::uint32_t exponent = type == ScalarType::kF16 ? 0x7C00U : 0x7F80U;
    for (std::size_t i = 0; i < count; ++i) {
      bad |= static_cast<std::uint32_t>((load<std::uint16_t>(p + 2 * i) & exponent) == exponent);
    }
  }
  return bad == 0;
}

Error not_finite(const std::string& tensor, std::int32_t row) {
  return corrupt_data("tensor '" + tensor + "' holds a NaN or infinity in row " + std::to_string(row) +
                      "; the file is damaged, download it again");
}

Result<void> check_size(const TensorView& tensor, std::int64_t elements) {
  if (tensor.num_elements() == elements &&
      tensor.data.size() == static_cast<std::size_t>(elements) * size_of(tensor.dtype)) {
    return {};
  }
  return corrupt_data("tensor '" + tensor.name + "' has " + std::to_string(tensor.num_elements()) +
                      " elements, the configuration implies " + std::to_string(elements) +
                      "; the files do not belong together");
}

Error wrong_type(const TensorView& tensor, const char* wanted) {
  return corrupt_data("tensor '" + tensor.name + "' is " + std::string(to_string(tensor.dtype)) +
                      ", expected " + wanted);
}

/// The 16 rows of a block in what holds them; null past the last row.
using RowPointers = std::array<const std::byte*, kBlock>;

/// One of a layer's tensors, or what was read in its place.
struct BlockPart {
  RowPointers rows{};
  DType dtype = DType::kU32;
  const std::string* name = nullptr;  // for messages
};

BlockPart part_of(const TensorView& tensor, std::int32_t first_row, const LinearSpec& spec) {
  BlockPart part;
  part.dtype = tensor.dtype;
  part.name = &tensor.name;
  const std::size_t row_bytes = tensor.data.size() / static_cast<std::size_t>(spec.stored_rows());
  for (std::int32_t lane = 0; lane < kBlock && first_row + lane < spec.out_features; ++lane) {
    part.rows[static_cast<std::size_t>(lane)] =
        tensor.data.data() + static_cast<std::size_t>(spec.rows.at(first_row + lane)) * row_bytes;
  }
  return part;
}

BlockPart part_of(const std::vector<std::byte>& read, std::int64_t num_rows, DType dtype,
                  const std::string& name) {
  BlockPart part;
  part.dtype = dtype;
  part.name = &name;
  const std::size_t row_bytes = read.size() / static_cast<std::size_t>(num_rows);
  for (std::size_t lane = 0; lane < static_cast<std::size_t>(num_rows); ++lane)
    part.rows[lane] = read.data() + lane * row_bytes;
  return part;
}

struct BlockRows {
  BlockPart weight;
  BlockPart scales;  // quantized only
  BlockPart biases;  // affine only
};

/// Rows in `scratch`, or where they are mapped.
Result<BlockRows> rows_of(const WeightSource& source, std::int32_t first_row, WeightRows& scratch) {
  BlockRows block;
  const bool is_quantized = source.spec.quantization.mode != QuantizationMode::kNone;
  const bool is_affine = source.spec.quantization.mode == QuantizationMode::kAffine;
  if (!source.reader) {
    block.weight = part_of(*source.weight, first_row, source.spec);
    if (is_quantized) block.scales = part_of(*source.scales, first_row, source.spec);
    if (is_affine) block.biases = part_of(*source.biases, first_row, source.spec);
    return block;
  }
  const std::int32_t count = std::min(kBlock, source.spec.out_features - first_row);
  TRY(source.reader->read(first_row, count, scratch));
  const DType floats = source.reader->float_type();
  const std::string& name = source.reader->tensors().front()->name;
  block.weight = part_of(scratch.weight, count, is_quantized ? DType::kU32 : floats, name);
  if (is_quantized) block.scales = part_of(scratch.scales, count, is_affine ? floats : DType::kU8, name);
  if (is_affine) block.biases = part_of(scratch.biases, count, floats, name);
  return block;
}

/// 8 consecutive codes of a row of a little-endian bit stream, a byte each.
std::uint64_t unpack_eight(const std::byte* row, std::int32_t bits, std::int64_t first) {
  std::uint64_t stream = 0;  // 8 codes begin and end on bytes
  std::memcpy(&stream, row + first * bits / 8, static_cast<std::size_t>(bits));
  if (bits == 8) return stream;
  const std::uint64_t mask = (1ULL << static_cast<unsigned>(bits)) - 1;
  std::uint64_t codes = 0;
  for (unsigned i = 0; i < 8; ++i) {
    codes |= ((stream >> (i * static_cast<unsigned>(bits))) & mask) << (8 * i);
  }
  return codes;
}

/// Bytes 0, 2, 4 and 6.
std::uint32_t even_bytes(std::uint64_t bytes) {
  bytes &= 0x00FF00FF00FF00FFULL;
  bytes = (bytes | bytes >> 8U) & 0x0000FFFF0000FFFFULL;
  return static_cast<std::uint32_t>(bytes | bytes >> 16U);
}

/// Steps of four codes to one plane of a row: bits [shift, shift + width) of each code.
void pack_plane(const std::array<std::uint32_t, kSteps>& steps, std::int32_t width, std::int32_t shift,
                std::size_t lane, std::byte* plane) {
  const std::uint32_t mask = 0x01010101U * ((1U << width) - 1U);
  const std::int32_t steps_in_line = 8 / width;
  for (std::int32_t line = 0; line < width; ++line) {
    std::uint32_t word = 0;
    for (std::int32_t i = 0; i < steps_in_line; ++i) {
      const std::uint32_t codes = steps[static_cast<std::size_t>(line * steps_in_line + i)];
      word |= ((codes >> shift) & mask) << (i * width);
    }
    std::memcpy(plane + 64 * line + 4 * static_cast<std::ptrdiff_t>(lane), &word, sizeof word);
  }
}

/// Codes of one activation group (32 features) of all rows: the words of 4-bit codes are one plane as they
/// are.
void pack_words(const RowPointers& rows, std::int64_t first, std::byte* out) {
  for (std::size_t word = 0; word < 4; ++word) {
    std::array<std::uint32_t, kBlock> line{};
    for (std::size_t lane = 0; lane < kBlock; ++lane) {
      if (rows[lane] != nullptr)
        line[lane] = load<std::uint32_t>(rows[lane] + first / 2 + 4 * static_cast<std::ptrdiff_t>(word));
    }
    std::memcpy(out + 64 * word, line.data(), 64);
  }
}

/// The same for codes of any width.
void pack_planes(const RowPointers& rows, std::int32_t bits, std::int64_t first, std::byte* out) {
  const CodePlanes planes = code_planes(bits);
  for (std::size_t lane = 0; lane < kBlock; ++lane) {
    std::array<std::uint32_t, kSteps> steps{};
    for (std::size_t i = 0; i < kSteps && rows[lane] != nullptr; i += 2) {
      const std::uint64_t codes = unpack_eight(rows[lane], bits, first + 4 * static_cast<std::int64_t>(i));
      steps[i] = even_bytes(codes);
      steps[i + 1] = even_bytes(codes >> 8U);
    }
    pack_plane(steps, planes.low, 0, lane, out);
    if (planes.high > 0) pack_plane(steps, planes.high, planes.low, lane, out + 64 * planes.low);
  }
}

/// One scale or bias of each row, converted if the packed type is wider than the tensor's.
void pack_scalars(const RowPointers& rows, std::int32_t index, ScalarType from, ScalarType to,
                  std::byte* out) {
  const auto offset = static_cast<std::size_t>(index) * scalar_bytes(from);
  for (std::size_t lane = 0; lane < kBlock; ++lane) {
    std::byte* target = out + lane * scalar_bytes(to);
    if (rows[lane] == nullptr) {
      std::memset(target, 0, scalar_bytes(to));
    } else if (from == to) {
      std::memcpy(target, rows[lane] + offset, scalar_bytes(to));
    } else {
      const float value = to_float(rows[lane] + offset, from);
      std::memcpy(target, &value, sizeof value);
    }
  }
}

Result<void> check_rows(const BlockPart& part, std::int32_t first_row, std::size_t count) {
  const ScalarType type = *scalar_type_of(part.dtype);
  for (std::int32_t lane = 0; lane < kBlock; ++lane) {
    const std::byte* row = part.rows[static_cast<std::size_t>(lane)];
    if (row != nullptr && !all_finite(row, count, type)) return not_finite(*part.name, first_row + lane);
  }
  return {};
}

Result<void> pack_affine_block(const WeightSource& source, const BlockRows& block, std::int32_t first_row,
                               std::byte* out) {
  const PackedFormat& format = source.format;
  const std::int32_t bits = source.spec.quantization.bits;
  const auto groups = static_cast<std::size_t>(format.num_groups());
  const RowPointers& codes = block.weight.rows;
  const ScalarType scales_type = *scalar_type_of(block.scales.dtype);
  const ScalarType biases_type = *scalar_type_of(block.biases.dtype);
  TRY(check_rows(block.scales, first_row, groups));
  TRY(check_rows(block.biases, first_row, groups));

  const std::size_t scalars = kBlock * scalar_bytes(format.scalar_type);
  for (std::int32_t group = 0; group < format.num_groups(); ++group) {
    for (std::int32_t part = 0; part < format.group_size; part += 32) {
      const std::int64_t first = static_cast<std::int64_t>(group) * format.group_size + part;
      if (bits == 4) {
        pack_words(codes, first, out);
      } else {
        pack_planes(codes, bits, first, out);
      }
      out += code_bytes(bits);
    }
    pack_scalars(block.scales.rows, group, scales_type, format.scalar_type, out);
    pack_scalars(block.biases.rows, group, biases_type, format.scalar_type, out + scalars);
    out += 2 * scalars;
  }
  return {};
}

/// The scales of a block of e2m1 or e4m3 numbers, checked: [group][16], zeros after the last whole line.
Result<void> pack_byte_scales(const WeightSource& source, const BlockPart& scales, std::int32_t first_row,
                              std::byte* out) {
  const PackedFormat& format = source.format;
  const auto groups = static_cast<std::size_t>(format.num_groups());
  const RowPointers& rows = scales.rows;
  // The largest that leaves every weight of the group finite.
  const std::uint8_t largest = format.kind == WeightKind::kDense ? kLargestE4M3Scale : kLargestE2M1Scale;
  const bool e8m0 = source.spec.quantization.mode != QuantizationMode::kNvfp4;
  const auto is_bad = [&](std::byte scale) {
    const auto bits = std::to_integer<std::uint8_t>(scale);
    return e8m0 ? bits > largest : (bits & 0x7FU) == 0x7FU;
  };
  for (std::size_t lane = 0; lane < kBlock; ++lane) {
    if (rows[lane] != nullptr && std::any_of(rows[lane], rows[lane] + groups, is_bad)) {
      return not_finite(*scales.name, first_row + static_cast<std::int32_t>(lane));
    }
    for (std::size_t group = 0; group < groups; ++group) {
      out[group * kBlock + lane] = rows[lane] == nullptr ? std::byte{0} : rows[lane][group];
    }
  }
  const std::size_t used = groups * kBlock;
  std::memset(out + used, 0, whole_lines(used) - used);
  return {};
}

Result<void> pack_e2m1_block(const WeightSource& source, const BlockRows& block, std::int32_t first_row,
                             std::byte* out) {
  const std::int32_t features = source.format.in_features;
  for (std::int32_t first = 0; first < features; first += kActivationFeatures) {
    pack_words(block.weight.rows, first, out);
    out += code_bytes(4);
  }
  return pack_byte_scales(source, block.scales, first_row, out);
}

/// [k][16] from 16 rows of values of type T.
template <typename T>
void transpose(const RowPointers& rows, std::int32_t features, std::int32_t padded, std::byte* out) {
  for (std::int32_t k = 0; k < padded; ++k) {
    std::array<T, kBlock> line{};
    if (k < features) {
      for (std::size_t lane = 0; lane < kBlock; ++lane) {
        if (rows[lane] != nullptr) line[lane] = load<T>(rows[lane] + static_cast<std::size_t>(k) * sizeof(T));
      }
    }
    std::memcpy(out + static_cast<std::size_t>(k) * sizeof line, line.data(), sizeof line);
  }
}

Result<void> pack_dense_block(const WeightSource& source, const BlockRows& block, std::int32_t first_row,
                              std::byte* out) {
  const PackedFormat& format = source.format;
  const std::int32_t features = source.spec.in_features;
  const RowPointers& rows = block.weight.rows;
  if (format.scalar_type == ScalarType::kE4M3) {
    const auto is_nan = [](std::byte number) { return (number & std::byte{0x7F}) == std::byte{0x7F}; };
    for (std::int32_t lane = 0; lane < kBlock; ++lane) {
      const std::byte* row = rows[static_cast<std::size_t>(lane)];
      if (row != nullptr && std::any_of(row, row + features, is_nan)) {
        return not_finite(*block.weight.name, first_row + lane);
      }
    }
    transpose<std::uint8_t>(rows, features, format.in_features, out);
    return pack_byte_scales(source, block.scales, first_row,
                            out + static_cast<std::ptrdiff_t>(kBlock) * features);
  }
  TRY(check_rows(block.weight, first_row, static_cast<std::size_t>(features)));
  if (format.scalar_type == ScalarType::kF32) {
    transpose<std::uint32_t>(rows, features, format.in_features, out);
  } else {
    transpose<std::uint16_t>(rows, features, format.in_features, out);
  }
  return {};
}

Result<void> check_affine_form(const LinearSpec& spec) {
  const Quantization& q = spec.quantization;
  const bool known_bits =
      q.bits == 2 || q.bits == 3 || q.bits == 4 || q.bits == 5 || q.bits == 6 || q.bits == 8;
  const bool known_group = q.group_size == 32 || q.group_size == 64 || q.group_size == 128;
  if (!known_bits || !known_group) {
    return unsupported("'" + spec.name + "' has " + std::to_string(q.bits) + "-bit weights in groups of " +
                       std::to_string(q.group_size) + "; use 2 to 6 or 8 bits and groups of 32, 64 or 128");
  }
  if (spec.in_features % q.group_size != 0) {
    return corrupt_data("'" + spec.name + "' has " + std::to_string(spec.in_features) +
                        " input features, not a multiple of its group size " + std::to_string(q.group_size));
  }
  return {};
}

void set_affine_format(const LinearSpec& spec, DType scales, DType biases, PackedFormat& format) {
  format.kind = WeightKind::kAffine;
  format.code_bits = spec.quantization.bits;
  format.group_size = spec.quantization.group_size;
  format.scalar_type = scales == biases ? *scalar_type_of(scales) : ScalarType::kF32;
  format.in_features = spec.in_features;
}

Result<void> find_affine(const LinearSpec& spec, const WeightMap& weights, WeightSource& source) {
  const Quantization& q = spec.quantization;
  TRY(check_affine_form(spec));
  source.scales = TRY(weights.get(spec.name + ".scales"));
  source.biases = TRY(weights.get(spec.name + ".biases"));
  if (source.weight->dtype != DType::kU32) return wrong_type(*source.weight, "U32");
  if (!is_float(source.scales->dtype)) return wrong_type(*source.scales, "F16, BF16 or F32");
  if (!is_float(source.biases->dtype)) return wrong_type(*source.biases, "F16, BF16 or F32");
  const std::int64_t out = spec.stored_rows();
  const std::int64_t groups = spec.in_features / q.group_size;
  TRY(check_size(*source.weight, out * spec.in_features * q.bits / 32));
  TRY(check_size(*source.scales, out * groups));
  TRY(check_size(*source.biases, out * groups));
  set_affine_format(spec, source.scales->dtype, source.biases->dtype, source.format);
  return {};
}

/// Of mxfp4, mxfp8 and nvfp4.
Result<void> set_float_format(const LinearSpec& spec, PackedFormat& format) {
  const bool eight = spec.quantization.mode == QuantizationMode::kMxfp8;
  const bool nvfp4 = spec.quantization.mode == QuantizationMode::kNvfp4;
  format.kind = eight ? WeightKind::kDense : WeightKind::kE2M1;
  format.code_bits = eight ? 0 : 4;
  format.group_size = nvfp4 ? 16 : 32;
  format.scalar_type = eight || nvfp4 ? ScalarType::kE4M3 : ScalarType::kE8M0;
  format.in_features = spec.in_features;
  if (spec.in_features % kActivationFeatures != 0) {
    return corrupt_data("'" + spec.name + "' has " + std::to_string(spec.in_features) +
                        " input features, not a multiple of " + std::to_string(kActivationFeatures) +
                        ", in which " + std::string(to_string(spec.quantization.mode)) + " is computed");
  }
  return {};
}

Result<void> find_float_mode(const LinearSpec& spec, const WeightMap& weights, WeightSource& source) {
  TRY(set_float_format(spec, source.format));
  source.scales = TRY(weights.get(spec.name + ".scales"));
  if (source.weight->dtype != DType::kU32) return wrong_type(*source.weight, "U32");
  if (size_of(source.scales->dtype) != 1) return wrong_type(*source.scales, "U8");
  const std::int64_t out = spec.stored_rows();
  TRY(check_size(*source.weight, out * spec.in_features * spec.quantization.bits / 32));
  return check_size(*source.scales, out * source.format.num_groups());
}

void set_dense_format(const LinearSpec& spec, DType dtype, PackedFormat& format) {
  format.scalar_type = *scalar_type_of(dtype);
  format.in_features = (spec.in_features + 31) / 32 * 32;
}

/// Layers that are not stored as MLX does.
Result<void> open_reader(const LinearSpec& spec, const WeightMap& weights, WeightSource& source) {
  source.reader = TRY(WeightRowReader::open(spec, weights));
  const DType floats = source.reader->float_type();
  if (spec.quantization.mode == QuantizationMode::kNone) {
    set_dense_format(spec, floats, source.format);
    return {};
  }
  if (spec.quantization.mode != QuantizationMode::kAffine) return set_float_format(spec, source.format);
  TRY(check_affine_form(spec));
  set_affine_format(spec, floats, floats, source.format);
  return {};
}

/// As many e2m1 numbers from packed words of 8.
void dequantize_e2m1(const PackedFormat& format, const std::byte* block, std::size_t column, float* out) {
  const auto features = static_cast<std::size_t>(format.in_features);
  const auto group_size = static_cast<std::size_t>(format.group_size);
  const std::byte* scales = block + features * kBlock / 2;
  for (std::size_t k = 0; k < features; k += 8) {
    const float scale = to_float(scales + k / group_size * kBlock + column, format.scalar_type);
    const auto word = load<std::uint32_t>(block + k / 8 * 64 + 4 * column);
    for (unsigned i = 0; i < 8; ++i) {
      out[k + i] = e2m1_to_float(static_cast<std::uint8_t>((word >> (4 * i)) & 15U)) * scale;
    }
  }
}

void dequantize_dense(const PackedFormat& format, const std::byte* block, std::size_t column,
                      std::size_t num_features, float* out) {
  const std::size_t width = scalar_bytes(format.scalar_type);
  for (std::size_t k = 0; k < num_features; ++k) {
    out[k] = to_float(block + (k * kBlock + column) * width, format.scalar_type);
  }
  if (format.group_size == 0) return;
  const std::byte* scales = block + num_features * kBlock;
  const auto group_size = static_cast<std::size_t>(format.group_size);
  for (std::size_t k = 0; k < num_features; ++k) {
    out[k] *= to_float(scales + k / group_size * kBlock + column, ScalarType::kE8M0);
  }
}

}  // namespace

std::size_t PackedFormat::block_bytes() const {
  const auto features = static_cast<std::size_t>(in_features);
  const auto groups = static_cast<std::size_t>(num_groups());
  if (dense()) {
    return features * kBlock * scalar_bytes(scalar_type) +
           (group_size > 0 ? whole_lines(groups * kBlock) : 0);
  }
  const std::size_t codes = features * kBlock * static_cast<std::size_t>(code_bits) / 8;
  return codes + (kind == WeightKind::kE2M1 ? whole_lines(groups * kBlock)
                                            : groups * 2 * kBlock * scalar_bytes(scalar_type));
}

Result<WeightSource> WeightSource::find(const LinearSpec& spec, const WeightMap& weights) {
  WeightSource source;
  source.spec = spec;
  if (spec.in_features <= 0 || spec.out_features <= 0) {
    return corrupt_data("'" + spec.name + "' is " + std::to_string(spec.out_features) + " × " +
                        std::to_string(spec.in_features) + ", which is no matrix");
  }
  if (spec.storage != WeightStorage::kMlx || spec.quantize_from) {
    TRY(open_reader(spec, weights, source));
  } else {
    source.weight = TRY(weights.get(spec.name + ".weight"));
    if (spec.quantization.mode == QuantizationMode::kAffine) {
      TRY(find_affine(spec, weights, source));
    } else if (spec.quantization.mode != QuantizationMode::kNone) {
      TRY(find_float_mode(spec, weights, source));
    } else {
      if (!is_float(source.weight->dtype)) return wrong_type(*source.weight, "F16, BF16 or F32");
      TRY(check_size(*source.weight, spec.stored_rows() * spec.in_features));
      set_dense_format(spec, source.weight->dtype, source.format);
    }
  }
  if (spec.has_bias) {
    source.bias = TRY(weights.get(spec.name + ".bias"));
    if (!scalar_type_of(source.bias->dtype)) return wrong_type(*source.bias, "F16, BF16 or F32");
    TRY(check_size(*source.bias, spec.stored_rows()));
  }
  return source;
}

std::vector<const TensorView*> WeightSource::tensors() const {
  std::vector<const TensorView*> all;
  for (const TensorView* tensor : {weight, scales, biases, bias}) {
    if (tensor != nullptr) all.push_back(tensor);
  }
  if (reader) all.insert(all.end(), reader->tensors().begin(), reader->tensors().end());
  return all;
}

Result<void> pack_block(const WeightSource& source, std::int32_t first_row, WeightRows& scratch,
                        std::byte* block) {
  const BlockRows rows = TRY(rows_of(source, first_row, scratch));
  switch (source.format.kind) {
    case WeightKind::kDense:
      return pack_dense_block(source, rows, first_row, block);
    case WeightKind::kAffine:
      return pack_affine_block(source, rows, first_row, block);
    case WeightKind::kE2M1:
      return pack_e2m1_block(source, rows, first_row, block);
  }
  return {};
}

void dequantize_lane(const PackedFormat& format, const std::byte* block, std::int32_t lane,
                     std::int32_t num_features, float* out) {
  const ScalarType type = format.scalar_type;
  const auto column = static_cast<std::size_t>(lane);
  if (format.dense())
    return dequantize_dense(format, block, column, static_cast<std::size_t>(num_features), out);
  if (format.kind == WeightKind::kE2M1) return dequantize_e2m1(format, block, column, out);
  const std::size_t width = scalar_bytes(type);
  const std::int32_t bits = format.code_bits;
  for (std::int32_t group = 0; group < format.num_groups(); ++group) {
    const std::byte* scalars = block + format.group_size / kActivationFeatures * code_bytes(bits);
    const float scale = to_float(scalars + column * width, type);
    const float bias = to_float(scalars + (kBlock + column) * width, type);
    // One rounding: a code times a 16-bit scale is exact in fp32, so only fp32 scales need the slow fused
    // form.
    const auto value = [&](std::uint32_t code) {
      const auto c = static_cast<float>(code);
      return type == ScalarType::kF32 ? std::fma(c, scale, bias) : c * scale + bias;
    };
    for (std::int32_t first = 0; first < format.group_size; first += kActivationFeatures) {
      for (std::int32_t k = 0; k < kActivationFeatures; ++k) out[k] = value(code_at(block, bits, lane, k));
      block += code_bytes(bits);
      out += kActivationFeatures;
    }
    block += 2 * kBlock * width;
  }
}

Result<void> load_bias(const WeightSource& source, float* out) {
  CHECK(source.bias != nullptr);
  const ScalarType type = *scalar_type_of(source.bias->dtype);
  const auto count = static_cast<std::size_t>(source.spec.out_features);
  const std::byte* data = source.bias->data.data();
  for (std::size_t i = 0; i < count; ++i) {
    const auto stored = static_cast<std::size_t>(source.spec.rows.at(static_cast<std::int64_t>(i)));
    const std::byte* p = data + stored * scalar_bytes(type);
    if (!all_finite(p, 1, type)) return not_finite(source.bias->name, static_cast<std::int32_t>(i));
    out[i] = to_float(p, type);
  }
  return {};
}

}  // namespace mlxd
