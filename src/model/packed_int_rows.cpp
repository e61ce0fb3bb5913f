// Integer codes as other tools pack them: AutoAWQ, GPTQ (AutoGPTQ, GPTQModel) and compressed-tensors'
// pack-quantized. All are affine: value = (code − zero) · scale, which MLX writes as code · scale + bias,
// with bias = −zero · scale rounded to the scales' type, as mlx-lm does for AWQ.
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "model/float_formats.h"
#include "model/quantize.h"
#include "model/row_source.h"

namespace mlxd {
namespace {

/// The nibble of a word of AutoAWQ's that is its number i.
constexpr std::array<unsigned, 8> kAwqNibbles = {0, 4, 1, 5, 2, 6, 3, 7};

std::uint32_t load_word(const TensorView& tensor, std::size_t index) {
  std::uint32_t word = 0;
  std::memcpy(&word, tensor.data.data() + 4 * index, sizeof(word));
  return word;
}

void store_word(std::vector<std::byte>& bytes, std::size_t at, std::uint32_t word) {
  std::memcpy(bytes.data() + at, &word, sizeof(word));
}

bool is_word(DType dtype) { return dtype == DType::kI32 || dtype == DType::kU32; }

Result<const TensorView*> find_words(const WeightMap& weights, const std::string& name, std::int64_t rows,
                                     std::int64_t columns) {
  const TensorView* tensor = TRY(weights.get(name));
  if (is_word(tensor->dtype) && tensor->shape == std::vector<std::int64_t>{rows, columns}) return tensor;
  return corrupt_data("tensor " + tensor->name + " must be I32 [" + std::to_string(rows) + ", " +
                      std::to_string(columns) + "]");
}

/// Element `index` of a stream of codes of `bits`, little end first, that begins at word `first`.
std::uint32_t code_in_stream(const TensorView& tensor, std::size_t first, std::size_t index,
                             std::size_t bits) {
  const std::size_t bit = index * bits;
  std::uint64_t words = load_word(tensor, first + bit / 32);
  if (bit % 32 + bits > 32) words |= std::uint64_t{load_word(tensor, first + bit / 32 + 1)} << 32U;
  return static_cast<std::uint32_t>(words >> (bit % 32)) & ((1U << bits) - 1U);
}

class PackedIntRows : public RowSource {
 public:
  Result<void> append(std::span<const std::int64_t> rows, WeightRows& out) const final {
    append_codes(rows, out.weight);
    const std::size_t width = size_of(float_type_);
    for (const std::int64_t row : rows) {
      for (std::size_t group = 0; group < num_groups_; ++group) {
        const std::byte* stored = scale(static_cast<std::size_t>(row), group);
        const auto zero = static_cast<float>(zero_of(static_cast<std::size_t>(row), group));
        const float bias = -zero * load_float(stored, float_type_);
        for (std::size_t i = 0; i < repeat_; ++i) {
          out.scales.insert(out.scales.end(), stored, stored + width);
          append_float(float_type_, bias, out.biases);
        }
      }
    }
    return {};
  }

 protected:
  /// Takes sizes and the scales, [groups, out] if `by_group`, else [out, groups].
  Result<void> open_scales(const LinearSpec& linear, const WeightMap& weights, const std::string& name,
                           bool by_group) {
    num_rows_ = static_cast<std::size_t>(linear.stored_rows());
    columns_ = static_cast<std::size_t>(linear.in_features);
    bits_ = static_cast<std::size_t>(linear.quantization.bits);
    scales_by_group_ = by_group;
    const TensorView* scales = TRY(weights.get(name));
    const std::int64_t out = linear.stored_rows();
    const bool is_matrix = scales->shape.size() == 2 && scales->shape[by_group ? 1 : 0] == out;
    const std::int64_t groups = is_matrix ? scales->shape[by_group ? 0 : 1] : 0;
    if (!is_float(scales->dtype) || groups <= 0 || linear.in_features % groups != 0 ||
        linear.in_features / groups % linear.quantization.group_size != 0) {
      return corrupt_data(
          "tensor " + scales->name + " must be F16, BF16 or F32 " +
          (by_group ? "[groups, " + std::to_string(out) + "]" : "[" + std::to_string(out) + ", groups]") +
          ", its groups whole parts of " + std::to_string(linear.in_features) + " inputs and multiples of " +
          std::to_string(linear.quantization.group_size));
    }
    num_groups_ = static_cast<std::size_t>(groups);
    repeat_ = columns_ / num_groups_ / static_cast<std::size_t>(linear.quantization.group_size);
    float_type_ = biases_type_ = scales->dtype;
    tensors_.push_back(scales);
    return {};
  }

  virtual void append_codes(std::span<const std::int64_t> rows, std::vector<std::byte>& out) const = 0;
  virtual std::uint32_t zero_of(std::size_t row, std::size_t group) const = 0;

  const TensorView& codes() const { return *tensors_.front(); }
  std::size_t row_bytes() const { return columns_ * bits_ / 8; }

  std::size_t num_rows_ = 0;
  std::size_t columns_ = 0;
  std::size_t bits_ = 0;
  std::size_t num_groups_ = 0;  // of the scales
  std::size_t repeat_ = 1;      // MLX's groups in one of theirs

 private:
  const std::byte* scale(std::size_t row, std::size_t group) const {
    const std::size_t index = scales_by_group_ ? group * num_rows_ + row : row * num_groups_ + group;
    return tensors_[1]->data.data() + index * size_of(float_type_);
  }

  bool scales_by_group_ = false;
};

/// qweight [in, out / 8] and qzeros [groups, out / 8], eight outputs a word.
class AwqRows final : public PackedIntRows {
 public:
  static Result<std::unique_ptr<RowSource>> open(const LinearSpec& linear, const WeightMap& weights) {
    auto source = std::make_unique<AwqRows>();
    const std::int64_t words = linear.stored_rows() / 8;
    source->tensors_ = {TRY(find_words(weights, linear.name + ".qweight", linear.in_features, words))};
    TRY(source->open_scales(linear, weights, linear.name + ".scales", true));
    source->zeros_ = TRY(
        find_words(weights, linear.name + ".qzeros", static_cast<std::int64_t>(source->num_groups_), words));
    source->tensors_.push_back(source->zeros_);
    return std::unique_ptr<RowSource>(std::move(source));
  }

 protected:
  void append_codes(std::span<const std::int64_t> rows, std::vector<std::byte>& out) const override {
    const std::size_t begin = out.size();
    out.resize(begin + rows.size() * row_bytes());
    // Rows of one word together: each of its loads misses the cache.
    for (std::size_t first = 0; first < rows.size();) {
      std::size_t last = first + 1;
      while (last < rows.size() && last - first < 8 && rows[last] / 8 == rows[first] / 8) ++last;
      unpack(rows.subspan(first, last - first), out, begin + first * row_bytes());
      first = last;
    }
  }

  std::uint32_t zero_of(std::size_t row, std::size_t group) const override {
    return load_word(*zeros_, group * (num_rows_ / 8) + row / 8) >> shift(row) & 15U;
  }

 private:
  static unsigned shift(std::size_t row) { return 4 * kAwqNibbles[row % 8]; }

  void unpack(std::span<const std::int64_t> rows, std::vector<std::byte>& out, std::size_t begin) const {
    const std::size_t column_of_words = static_cast<std::size_t>(rows[0]) / 8;
    std::array<unsigned, 8> shifts{};
    for (std::size_t i = 0; i < rows.size(); ++i) shifts[i] = shift(static_cast<std::size_t>(rows[i]));
    for (std::size_t k = 0; k < columns_; k += 8) {
      std::array<std::uint32_t, 8> words{};
      for (std::size_t j = 0; j < 8; ++j) {
        const std::uint32_t word = load_word(codes(), (k + j) * (num_rows_ / 8) + column_of_words);
        for (std::size_t i = 0; i < rows.size(); ++i) words[i] |= (word >> shifts[i] & 15U) << (4 * j);
      }
      for (std::size_t i = 0; i < rows.size(); ++i)
        store_word(out, begin + i * row_bytes() + k / 2, words[i]);
    }
  }

  const TensorView* zeros_ = nullptr;
};

/// qweight [in · bits / 32, out], whose columns are MLX's rows, and qzeros [groups, out · bits / 32], stored
/// less 1 but in the second version of the format.
class GptqRows final : public PackedIntRows {
 public:
  static Result<std::unique_ptr<RowSource>> open(const LinearSpec& linear, const WeightMap& weights) {
    auto source = std::make_unique<GptqRows>();
    const std::int64_t bits = linear.quantization.bits;
    const std::int64_t out = linear.stored_rows();
    source->tensors_ = {
        TRY(find_words(weights, linear.name + ".qweight", linear.in_features * bits / 32, out))};
    TRY(source->open_scales(linear, weights, linear.name + ".scales", true));
    source->zeros_ = TRY(find_words(weights, linear.name + ".qzeros",
                                    static_cast<std::int64_t>(source->num_groups_), out * bits / 32));
    source->tensors_.push_back(source->zeros_);
    source->zero_offset_ = linear.storage == WeightStorage::kGptq ? 1 : 0;
    TRY(source->check_order(weights, linear.name + ".g_idx"));
    return std::unique_ptr<RowSource>(std::move(source));
  }

 protected:
  void append_codes(std::span<const std::int64_t> rows, std::vector<std::byte>& out) const override {
    const std::size_t begin = out.size();
    out.resize(begin + rows.size() * row_bytes());
    for (std::size_t word = 0; word < row_bytes() / 4; ++word) {
      for (std::size_t i = 0; i < rows.size(); ++i) {
        store_word(out, begin + i * row_bytes() + 4 * word,
                   load_word(codes(), word * num_rows_ + static_cast<std::size_t>(rows[i])));
      }
    }
  }

  std::uint32_t zero_of(std::size_t row, std::size_t group) const override {
    // AutoGPTQ's kernels let the sum wrap: 0 is stored as the highest code.
    const std::uint32_t stored = code_in_stream(*zeros_, group * (num_rows_ * bits_ / 32), row, bits_);
    return (stored + zero_offset_) & ((1U << bits_) - 1U);
  }

 private:
  /// The group of each input must follow from its place.
  Result<void> check_order(const WeightMap& weights, const std::string& name) const {
    const TensorView* order = weights.find(name);
    if (order == nullptr) return {};
    if (!is_word(order->dtype)) return wrong_type(*order, "I32");
    const std::size_t group_size = columns_ / num_groups_;
    bool in_order = static_cast<std::size_t>(order->num_elements()) == columns_;
    for (std::size_t k = 0; in_order && k < columns_; ++k)
      in_order = load_word(*order, k) == static_cast<std::uint32_t>(k / group_size);
    if (in_order) return {};
    return unsupported(
        "tensor " + order->name +
        " changes the order of the inputs (desc_act); use a model that was quantized without it");
  }

  const TensorView* zeros_ = nullptr;
  std::uint32_t zero_offset_ = 0;
};

/// weight_packed [out, in · bits / 32] of codes plus 2^(bits − 1), in MLX's order, and perhaps
/// weight_zero_point [out · bits / 32, groups] of zeros as much larger.
class CompressedIntRows final : public PackedIntRows {
 public:
  static Result<std::unique_ptr<RowSource>> open(const LinearSpec& linear, const WeightMap& weights) {
    auto source = std::make_unique<CompressedIntRows>();
    const std::int64_t bits = linear.quantization.bits;
    const std::int64_t out = linear.stored_rows();
    source->tensors_ = {
        TRY(find_words(weights, linear.name + ".weight_packed", out, linear.in_features * bits / 32))};
    TRY(source->open_scales(linear, weights, linear.name + ".weight_scale", false));
    TRY(source->check_shape(weights, linear));
    if (weights.find(linear.name + ".weight_g_idx") != nullptr) {
      return unsupported("tensor " + linear.name +
                         ".weight_g_idx changes the order of the inputs (actorder); use a model that was "
                         "quantized without it");
    }
    if (weights.find(linear.name + ".weight_zero_point") != nullptr) {
      source->zeros_ = TRY(find_words(weights, linear.name + ".weight_zero_point", (out * bits + 31) / 32,
                                      static_cast<std::int64_t>(source->num_groups_)));
      source->tensors_.push_back(source->zeros_);
    }
    return std::unique_ptr<RowSource>(std::move(source));
  }

 protected:
  void append_codes(std::span<const std::int64_t> rows, std::vector<std::byte>& out) const override {
    for (const std::int64_t row : rows) {
      const auto from = codes().data.subspan(static_cast<std::size_t>(row) * row_bytes(), row_bytes());
      out.insert(out.end(), from.begin(), from.end());
    }
  }

  std::uint32_t zero_of(std::size_t row, std::size_t group) const override {
    if (zeros_ == nullptr) return 1U << (bits_ - 1);
    const std::size_t bit = row * bits_;
    return load_word(*zeros_, bit / 32 * num_groups_ + group) >> (bit % 32) & ((1U << bits_) - 1U);
  }

 private:
  static Result<void> check_shape(const WeightMap& weights, const LinearSpec& linear) {
    const TensorView* shape = weights.find(linear.name + ".weight_shape");
    if (shape == nullptr) return {};
    std::array<std::int64_t, 2> sizes{};
    if (shape->num_elements() == 2 && shape->dtype == DType::kI64) {
      std::memcpy(sizes.data(), shape->data.data(), sizeof(sizes));
    } else if (shape->num_elements() == 2 && shape->dtype == DType::kI32) {
      sizes = {load_word(*shape, 0), load_word(*shape, 1)};
    }
    if (sizes[0] == linear.stored_rows() && sizes[1] == linear.in_features) return {};
    return corrupt_data("tensor " + shape->name + " must hold [" + std::to_string(linear.stored_rows()) +
                        ", " + std::to_string(linear.in_features) + "], the sizes of its layer");
  }

  const TensorView* zeros_ = nullptr;
};

}  // namespace

Result<std::unique_ptr<RowSource>> open_packed_int_rows(const LinearSpec& linear, const WeightMap& weights) {
  if (linear.storage == WeightStorage::kAwq) return AwqRows::open(linear, weights);
  if (linear.storage == WeightStorage::kCompressedInt) return CompressedIntRows::open(linear, weights);
  return GptqRows::open(linear, weights);
}

}  // namespace mlxd
