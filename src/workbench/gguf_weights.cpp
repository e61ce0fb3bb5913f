#include "workbench/gguf_weights.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "model/float_formats.h"
#include "model/quantize.h"
#include "workbench/gguf_affine.h"
#include "workbench/gguf_blocks.h"

namespace mlxd {
namespace {

// Bits of the codes made for types whose groups are 16 long: the fewest that add little to the error which
// the type itself makes (docs/formats/gguf-import.md has the figures).
std::int32_t stored_bits(GgufType type) {
  switch (type) {
    case GgufType::kQ2_K:
      return 4;
    case GgufType::kQ3_K:
      return 5;
    case GgufType::kQ6_K:
      return 8;
    default:
      return code_bits(type);
  }
}

DType dense_dtype(GgufType type) {
  if (type == GgufType::kF16) return DType::kF16;
  return type == GgufType::kBF16 ? DType::kBF16 : DType::kF32;
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

// The blocks of one row, converted one after the other.
class RowConverter {
 public:
  explicit RowConverter(const StoragePlan& plan)
      : plan_(plan),
        block_bytes_(static_cast<std::size_t>(block_of(plan.source.tensor->type).bytes)),
        num_groups_(static_cast<std::size_t>(block_of(plan.source.tensor->type).elements) /
                    kGgufGroupElements) {}

  /// Appends a row to `out` and returns its largest relative error, not a number if a scale overflows.
  double convert(std::span<const std::byte> row, QuantizedRows& out) {
    float difference = 0.0F;
    float magnitude = 0.0F;
    bool is_finite = true;
    const std::span<GgufGroup> groups(groups_.data(), num_groups_);
    for (std::size_t offset = 0; offset < row.size(); offset += block_bytes_) {
      read_groups(plan_.source.tensor->type, row.data() + offset, groups);
      for (const GgufGroup& group : groups) {
        const AffineGroup stored = plan_.keeps_codes ? keep_codes(group, plan_.scale_dtype)
                                                     : quantize_again(group, plan_.bits, plan_.scale_dtype);
        const std::array<float, kGgufGroupElements> values = values_of(group);
        for (std::size_t i = 0; i < values.size(); ++i) {
          difference = std::max(difference, std::abs(stored.value(i) - values[i]));
          magnitude = std::max(magnitude, std::abs(values[i]));
        }
        is_finite = is_finite && std::isfinite(stored.scale) && std::isfinite(stored.bias);
        append_codes(stored.codes, plan_.bits, out.words);
        append_float(plan_.scale_dtype, stored.scale, out.scales);
        append_float(plan_.scale_dtype, stored.bias, out.biases);
      }
    }
    if (!is_finite) return NAN;
    return difference > 0.0F ? static_cast<double>(difference) / static_cast<double>(magnitude) : 0.0;
  }

 private:
  static constexpr std::size_t kMostGroups = 8;

  const StoragePlan& plan_;
  std::size_t block_bytes_;
  std::size_t num_groups_;
  std::array<GgufGroup, kMostGroups> groups_;
};

// Asked only now and then: there are millions of blocks.
class CancelCheck {
 public:
  explicit CancelCheck(const IsCancelled& is_cancelled) : is_cancelled_(is_cancelled) {}
  /// Before the next `bytes` of a tensor are converted. Errors: kCancelled.
  Result<void> pass(std::size_t bytes) {
    passed_ += bytes;
    if (passed_ < kInterval || !is_cancelled_) return {};
    passed_ = 0;
    if (is_cancelled_()) return Error(ErrorKind::kCancelled, "stopped");
    return {};
  }

 private:
  static constexpr std::size_t kInterval = std::size_t{1} << 20U;
  const IsCancelled& is_cancelled_;
  std::size_t passed_ = kInterval;  // the first is asked
};

Result<void> check_scales(const GgufTensor& tensor, CancelCheck& check) {
  const GgufBlock block = block_of(tensor.type);
  const auto block_bytes = static_cast<std::size_t>(block.bytes);
  std::vector<GgufGroup> groups(static_cast<std::size_t>(block.elements) / kGgufGroupElements);
  for (std::size_t offset = 0; offset < tensor.data.size(); offset += block_bytes) {
    TRY(check.pass(block_bytes));
    read_groups(tensor.type, tensor.data.data() + offset, groups);
    for (const GgufGroup& group : groups) {
      const auto is_finite = [](float value) { return std::isfinite(value); };
      if (!std::all_of(group.scales.begin(), group.scales.end(), is_finite) ||
          !std::all_of(group.biases.begin(), group.biases.end(), is_finite)) {
        return corrupt_data("tensor " + tensor.name + ": block " + std::to_string(offset / block_bytes) +
                            " has a scale that is not finite; the file is damaged, download it again");
      }
    }
  }
  return {};
}

// Whether scales and biases rounded to F16 add no more than 2^-9 of its largest value to any row's error.
Result<bool> fits_half_precision(const StoragePlan& plan, CancelCheck& check) {
  const GgufTensor& tensor = *plan.source.tensor;
  const std::size_t row_bytes = tensor.data.size() / num_rows(tensor);
  StoragePlan single = plan;
  single.scale_dtype = DType::kF32;
  RowConverter converter(plan);
  RowConverter single_converter(single);
  QuantizedRows scratch;
  for (std::size_t offset = 0; offset < tensor.data.size(); offset += row_bytes) {
    TRY(check.pass(row_bytes));
    const auto row = tensor.data.subspan(offset, row_bytes);
    scratch.clear();
    const double error = converter.convert(row, scratch);
    if (error <= 0x1p-9) continue;
    // Codes that are kept are exact with scales in single precision.
    scratch.clear();
    const double single_error = plan.keeps_codes ? 0.0 : single_converter.convert(row, scratch);
    if (!(error <= single_error + 0x1p-9)) return false;
  }
  return true;
}

// Norms hold w + 1 in single precision; w is what remains.
double subtract_one(std::span<std::byte> data) {
  double error = 0.0;
  for (std::size_t offset = 0; offset < data.size(); offset += sizeof(float)) {
    float value = 0.0F;
    std::memcpy(&value, data.data() + offset, sizeof(value));
    const float less = value - 1.0F;
    error = std::max(error, static_cast<double>(std::abs(less + 1.0F - value)));
    std::memcpy(data.data() + offset, &less, sizeof(less));
  }
  return error;
}

Result<double> write_dense(const StoragePlan& plan, WeightFilesWriter& writer) {
  const GgufTensor& source = *plan.source.tensor;
  const std::string name = layouts(plan).front().name;
  const std::size_t rows = num_rows(source);
  const std::size_t row_bytes = source.data.size() / rows;
  if (plan.source.rotary_head_dim == 0 && !plan.source.holds_one_more) {
    TRY(writer.write(name, source.data));
    return 0.0;
  }
  std::vector<std::byte> data(source.data.size());
  for (std::size_t row = 0; row < rows; ++row) {
    std::memcpy(data.data() + row * row_bytes,
                source.data.data() + source_row(row, plan.source.rotary_head_dim) * row_bytes, row_bytes);
  }
  const double error = plan.source.holds_one_more ? subtract_one(data) : 0.0;
  TRY(writer.write(name, data));
  return error;
}

}  // namespace

Result<StoragePlan> plan_storage(GgufSource source, const IsCancelled& is_cancelled) {
  StoragePlan plan;
  plan.source = std::move(source);
  const GgufTensor& tensor = *plan.source.tensor;
  plan.bits = stored_bits(tensor.type);
  if (plan.source.holds_one_more && tensor.type != GgufType::kF32) {
    return unsupported("tensor " + tensor.name + ": norms of this architecture must be F32");
  }
  if (plan.bits == 0) return plan;
  if (tensor.shape.size() != 2) {
    return unsupported("tensor " + tensor.name +
                       ": quantized, but not a matrix; norms and biases must be dense");
  }
  plan.keeps_codes = !has_groups_of_16(tensor.type);
  CancelCheck check(is_cancelled);
  TRY(check_scales(tensor, check));
  if (!TRY(fits_half_precision(plan, check))) plan.scale_dtype = DType::kF32;
  return plan;
}

std::vector<TensorLayout> layouts(const StoragePlan& plan) {
  const GgufTensor& source = *plan.source.tensor;
  const std::string& name = plan.source.name;
  if (plan.bits == 0) {
    const bool is_matrix = source.shape.size() == 2;
    return {{is_matrix ? name + ".weight" : name, dense_dtype(source.type), source.shape}};
  }
  const std::int64_t rows = source.shape[0];
  const std::int64_t columns = source.shape[1];
  const std::vector<std::int64_t> groups = {rows, columns / kImportGroupSize};
  return {{name + ".weight", DType::kU32, {rows, columns * plan.bits / 32}},
          {name + ".scales", plan.scale_dtype, groups},
          {name + ".biases", plan.scale_dtype, groups}};
}

Result<double> write_tensor(const StoragePlan& plan, WeightFilesWriter& writer,
                            const IsCancelled& is_cancelled) {
  if (plan.bits == 0) return write_dense(plan, writer);
  const GgufTensor& source = *plan.source.tensor;
  const std::vector<TensorLayout> parts = layouts(plan);
  const std::size_t rows = num_rows(source);
  const std::size_t row_bytes = source.data.size() / rows;
  QuantizedRows out;
  out.words.reserve(parts[0].num_bytes() / sizeof(std::uint32_t));
  out.scales.reserve(parts[1].num_bytes());
  out.biases.reserve(parts[2].num_bytes());
  RowConverter converter(plan);
  CancelCheck check(is_cancelled);
  double error = 0.0;
  for (std::size_t row = 0; row < rows; ++row) {
    TRY(check.pass(row_bytes));
    const std::size_t from = source_row(row, plan.source.rotary_head_dim);
    const double row_error = converter.convert(source.data.subspan(from * row_bytes, row_bytes), out);
    error = std::max(error, row_error);
  }
  TRY(writer.write(parts[0].name, std::as_bytes(std::span(out.words))));
  TRY(writer.write(parts[1].name, out.scales));
  TRY(writer.write(parts[2].name, out.biases));
  return error;
}

}  // namespace mlxd
