#include "model/quantize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <optional>

#include "base/check.h"
#include "model/float_formats.h"

namespace mlxd {
namespace {

constexpr std::size_t kMaxGroup = 128;
constexpr float kLargestE2m1 = 6.0F;
constexpr float kLargestE4m3 = 448.0F;

/// To the nearest whole number, ties to even, for |x| < 2^22: adding 1.5 · 2^23 leaves no bits behind the
/// point. Unlike std::rint it is no call, so that loops over it are vectorized.
inline float round_small(float x) {
  constexpr float kMagic = 12582912.0F;
  return (x + kMagic) - kMagic;
}

using GroupCodes = std::array<std::uint8_t, kMaxGroup>;

struct ScaleAndBias {
  float scale = 0.0F;
  float bias = 0.0F;
};

/// The nearest codes of a group.
void choose_codes(std::span<const float> group, const ScaleAndBias& line, float highest_code,
                  GroupCodes& codes) {
  for (std::size_t i = 0; i < group.size(); ++i) {
    const float code = round_small((group[i] - line.bias) / line.scale);
    codes[i] = static_cast<std::uint8_t>(std::min(std::max(code, 0.0F), highest_code));
  }
}

/// MLX's rule; scale and bias are not rounded to the type yet.
ScaleAndBias affine_of_mlx(std::span<const float> group, float highest_code) {
  const auto [least, most] = std::minmax_element(group.begin(), group.end());
  const float smallest = *least;
  const float largest = *most;
  const bool from_below = std::abs(smallest) > std::abs(largest);
  const float step = std::max((largest - smallest) / highest_code, 1e-7F);
  float scale = from_below ? step : -step;
  const float edge = from_below ? smallest : largest;
  const float steps_to_edge = std::rint(edge / scale);
  float bias = 0.0F;
  if (steps_to_edge != 0.0F) {
    scale = edge / steps_to_edge;
    bias = edge;
  }
  return {scale, bias};
}

double squared_error(std::span<const float> group, const ScaleAndBias& line, const GroupCodes& codes) {
  double sum = 0.0;
  for (std::size_t i = 0; i < group.size(); ++i) {
    const double error = double{line.scale} * codes[i] + double{line.bias} - double{group[i]};
    sum += error * error;
  }
  return sum;
}

/// The line through (code, value) of least squared error; nothing if all codes are the same.
std::optional<ScaleAndBias> fit_line(std::span<const float> group, const GroupCodes& codes) {
  double sum_code = 0.0;
  double sum_square = 0.0;
  double sum_value = 0.0;
  double sum_product = 0.0;
  for (std::size_t i = 0; i < group.size(); ++i) {
    const double code = codes[i];
    sum_code += code;
    sum_square += code * code;
    sum_value += double{group[i]};
    sum_product += code * double{group[i]};
  }
  const auto count = static_cast<double>(group.size());
  const double spread = count * sum_square - sum_code * sum_code;
  if (spread == 0.0) return std::nullopt;
  const double scale = (count * sum_product - sum_code * sum_value) / spread;
  return ScaleAndBias{static_cast<float>(scale), static_cast<float>((sum_value - scale * sum_code) / count)};
}

/// Tries lines from `first` on: its codes, the line that fits these best, the codes of that one, and so on.
class LineSearch {
 public:
  LineSearch(std::span<const float> group, float highest_code, DType dtype, const ScaleAndBias& first,
             GroupCodes& codes)
      : group_(group), highest_code_(highest_code), dtype_(dtype), best_(rounded(first)), codes_(codes) {
    error_ = squared_error(group, best_, codes);
  }

  const ScaleAndBias& best() const { return best_; }
  bool is_exact() const { return error_ == 0.0; }

  void attempt(ScaleAndBias line) {
    for (int round = 0; round < kRounds; ++round) {
      line = rounded(line);
      if (line.scale == 0.0F || !std::isfinite(line.scale) || !std::isfinite(line.bias)) return;
      GroupCodes codes;
      choose_codes(group_, line, highest_code_, codes);
      const double error = squared_error(group_, line, codes);
      if (error < error_) {
        error_ = error;
        best_ = line;
        std::copy_n(codes.begin(), group_.size(), codes_.begin());
      }
      const std::optional<ScaleAndBias> next = fit_line(group_, codes);
      if (!next) return;
      line = *next;
    }
  }

 private:
  static constexpr int kRounds = 3;

  ScaleAndBias rounded(const ScaleAndBias& line) const {
    return {round_to(dtype_, line.scale), round_to(dtype_, line.bias)};
  }

  std::span<const float> group_;
  float highest_code_;
  DType dtype_;
  ScaleAndBias best_;
  double error_ = 0.0;
  GroupCodes& codes_;
};

/// From MLX's line on: those that leave codes at the top unused, which is exact for values that are steps
/// apart already, and those that cut off both ends.
ScaleAndBias affine_of_least_squares(std::span<const float> group, const ScaleAndBias& mlx,
                                     float highest_code, DType dtype, GroupCodes& codes) {
  constexpr float kMostUnused = 16.0F;
  constexpr int kCuts = 8;
  const auto [least, most] = std::minmax_element(group.begin(), group.end());
  const float smallest = *least;
  const float range = *most - smallest;
  LineSearch search(group, highest_code, dtype, mlx, codes);
  if (!(range > 0.0F)) return search.best();
  for (float unused = 0.0F; unused <= std::min(kMostUnused, highest_code / 4.0F); unused += 1.0F) {
    search.attempt({range / (highest_code - unused), smallest});
    if (search.is_exact()) return search.best();
  }
  for (int cut = 1; cut <= kCuts; ++cut) {
    const float scale = range / (highest_code * (1.0F + static_cast<float>(cut) / 16.0F));
    search.attempt({scale, smallest + (range - scale * highest_code) / 2.0F});
  }
  return search.best();
}

void quantize_affine(std::span<const float> group, std::int32_t bits, DType dtype, AffineScales scales,
                     GroupCodes& codes, QuantizedRows& out) {
  const auto highest_code = static_cast<float>((1U << static_cast<unsigned>(bits)) - 1U);
  ScaleAndBias line = affine_of_mlx(group, highest_code);
  choose_codes(group, line, highest_code, codes);
  if (scales == AffineScales::kLeastSquares)
    line = affine_of_least_squares(group, line, highest_code, dtype, codes);
  append_float(dtype, line.scale, out.scales);
  append_float(dtype, line.bias, out.biases);
}

float largest_magnitude(std::span<const float> group) {
  float largest = 0.0F;
  for (const float value : group) largest = std::max(largest, std::abs(value));
  return largest;
}

/// The e8m0 of the smallest power of two that is at least `value`; of 0 that of 1.
std::uint8_t e8m0_at_least(float value) {
  if (!(value > 0.0F)) return 127;
  int exponent = 0;
  // value = fraction · 2^exponent, 0.5 ≤ fraction < 1
  const float fraction = std::frexp(value, &exponent);
  if (fraction == 0.5F) --exponent;
  return static_cast<std::uint8_t>(std::clamp(exponent, -127, 127) + 127);
}

void quantize_floats(std::span<const float> group, const Quantization& form, DType dtype, GroupCodes& codes,
                     QuantizedRows& out) {
  const bool is_e4m3 = form.bits == 8;
  const float wanted = round_to(dtype, largest_magnitude(group) / (is_e4m3 ? kLargestE4m3 : kLargestE2m1));
  std::uint8_t stored = 0;
  float scale = 0.0F;
  if (form.mode == QuantizationMode::kNvfp4) {
    stored = float_to_e4m3(wanted);
    scale = e4m3_to_float(stored);
  } else {
    stored = e8m0_at_least(wanted);
    scale = e8m0_to_float(stored);
  }
  out.scales.push_back(std::byte{stored});
  for (std::size_t i = 0; i < group.size(); ++i) {
    const float value = scale == 0.0F ? 0.0F : round_to(dtype, group[i] / scale);
    codes[i] = is_e4m3 ? float_to_e4m3(value) : float_to_e2m1(value);
  }
}

}  // namespace

float round_to(DType dtype, float value) {
  switch (dtype) {
    case DType::kF16:
      return half_to_float(float_to_half(value));
    case DType::kBF16:
      return bfloat16_to_float(float_to_bfloat16(value));
    default:
      return value;
  }
}

void append_float(DType dtype, float value, std::vector<std::byte>& bytes) {
  append_floats(dtype, {&value, 1}, bytes);
}

void append_floats(DType dtype, std::span<const float> values, std::vector<std::byte>& bytes) {
  const std::size_t begin = bytes.size();
  bytes.resize(begin + values.size() * size_of(dtype));
  std::byte* out = bytes.data() + begin;
  if (dtype == DType::kF32) {
    std::memcpy(out, values.data(), values.size() * sizeof(float));
    return;
  }
  for (const float value : values) {
    const std::uint16_t half = dtype == DType::kF16 ? float_to_half(value) : float_to_bfloat16(value);
    std::memcpy(out, &half, sizeof(half));
    out += sizeof(half);
  }
}

void append_codes(std::span<const std::uint8_t> codes, std::int32_t bits, std::vector<std::uint32_t>& words) {
  std::uint64_t pending = 0;
  std::int32_t filled = 0;
  for (const std::uint8_t code : codes) {
    pending |= std::uint64_t{code} << static_cast<unsigned>(filled);
    filled += bits;
    if (filled >= 32) {
      words.push_back(static_cast<std::uint32_t>(pending));
      pending >>= 32U;
      filled -= 32;
    }
  }
  CHECK(filled == 0);
}

void quantize_rows(std::span<const float> values, const Quantization& form, DType dtype, QuantizedRows& out,
                   AffineScales scales) {
  CHECK(is_known_form(form));
  const auto group_size = static_cast<std::size_t>(form.group_size);
  CHECK(values.size() % group_size == 0);
  GroupCodes codes;
  for (std::size_t first = 0; first < values.size(); first += group_size) {
    const std::span<const float> group = values.subspan(first, group_size);
    if (form.mode == QuantizationMode::kAffine) {
      quantize_affine(group, form.bits, dtype, scales, codes, out);
    } else {
      quantize_floats(group, form, dtype, codes, out);
    }
    append_codes(std::span(codes).first(group_size), form.bits, out.words);
  }
}

std::optional<Quantization> small_float_form(std::string_view mode) {
  if (mode == "mxfp4") return Quantization{QuantizationMode::kMxfp4, 4, 32};
  if (mode == "mxfp8") return Quantization{QuantizationMode::kMxfp8, 8, 32};
  if (mode == "nvfp4") return Quantization{QuantizationMode::kNvfp4, 4, 16};
  return std::nullopt;
}

bool is_known_form(const Quantization& form) {
  const auto is_one_of = [](std::int32_t value, std::initializer_list<std::int32_t> values) {
    return std::find(values.begin(), values.end(), value) != values.end();
  };
  switch (form.mode) {
    case QuantizationMode::kAffine:
      return is_one_of(form.bits, {2, 3, 4, 5, 6, 8}) && is_one_of(form.group_size, {32, 64, 128});
    case QuantizationMode::kMxfp4:
      return form.bits == 4 && form.group_size == 32;
    case QuantizationMode::kMxfp8:
      return form.bits == 8 && form.group_size == 32;
    case QuantizationMode::kNvfp4:
      return form.bits == 4 && form.group_size == 16;
    case QuantizationMode::kNone:
      return false;
  }
  return false;
}

}  // namespace mlxd
