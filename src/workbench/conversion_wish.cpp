#include "workbench/conversion_wish.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 4> kRecipes = {"mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6"};

class Reader {
 public:
  explicit Reader(const ConversionWish& wish) : wish_(wish) {}

  Result<Quantization> form() const {
    const bool says_form = wish_.bits || wish_.group || wish_.mode != "affine" || !wish_.mixed.empty();
    if (wish_.dequantize) {
      if (says_form)
        return refuse("dequantize", "does not go with " + name("bits") + ", " + name("group") + ", " +
                                        name("mode") + " or " + name("mixed"));
      return Quantization{};
    }
    if (const auto small = small_float_form(wish_.mode)) return small_float(*small);
    if (wish_.mode != "affine")
      return refuse("mode", "'" + wish_.mode + "' is none of affine, mxfp4, mxfp8, nvfp4", ":");
    if (wish_.mixed.empty() && !wish_.bits)
      return invalid_argument("say what the model is to become: " + name("bits") + " N, " + name("mixed") +
                                  " RECIPE, " + name("mode") + " mxfp4, mxfp8 or nvfp4, or " +
                                  name("dequantize"),
                              "bits");
    if (!wish_.mixed.empty() && wish_.bits)
      return refuse("mixed", "says the bits: leave " + name("bits") + " out");
    const Quantization form{QuantizationMode::kAffine, wish_.bits.value_or(4), wish_.group.value_or(64)};
    for (const std::int32_t bits : {2, 3, 4, 5, 6, 8}) {
      for (const std::int32_t group : {32, 64, 128})
        if (form.bits == bits && form.group_size == group) return form;
    }
    return invalid_argument(
        name("bits") + " must be 2, 3, 4, 5, 6 or 8, and " + name("group") + " 32, 64 or 128", "bits");
  }

  Result<std::optional<DType>> dtype() const {
    if (wish_.dtype.empty()) return std::optional<DType>();
    if (wish_.dtype == "float16") return std::optional(DType::kF16);
    if (wish_.dtype == "bfloat16") return std::optional(DType::kBF16);
    if (wish_.dtype == "float32") return std::optional(DType::kF32);
    return refuse("dtype", "'" + wish_.dtype + "' is none of float16, bfloat16, float32", ":");
  }

  Result<void> check_recipe() const {
    if (wish_.mixed.empty() || std::find(kRecipes.begin(), kRecipes.end(), wish_.mixed) != kRecipes.end())
      return {};
    std::string names;
    for (const std::string_view each : kRecipes) names += (names.empty() ? "" : ", ") + std::string(each);
    return refuse("mixed", "'" + wish_.mixed + "' is none of " + names, ":");
  }

  Result<AffineScales> scales(const Quantization& form) const {
    if (wish_.scales.empty() || wish_.scales == "mlx") return AffineScales::kMlx;
    if (wish_.scales != "least-squares")
      return refuse("scales", "'" + wish_.scales + "' is none of mlx, least-squares", ":");
    if (form.mode != QuantizationMode::kAffine)
      return refuse("scales", "least-squares is for affine codes: " + name("bits") + " or " + name("mixed"));
    return AffineScales::kLeastSquares;
  }

 private:
  std::string name(const std::string& field) const { return wish_.name_prefix + field; }
  Error refuse(const std::string& field, const std::string& why, const std::string& mark = {}) const {
    return invalid_argument(name(field) + mark + " " + why, field);
  }

  Result<Quantization> small_float(const Quantization& form) const {
    if (!wish_.mixed.empty()) return refuse("mixed", "is affine: leave " + name("mode") + " out");
    if (wish_.bits.value_or(form.bits) != form.bits ||
        wish_.group.value_or(form.group_size) != form.group_size)
      return refuse("mode", wish_.mode + " has " + std::to_string(form.bits) + " bits in groups of " +
                                std::to_string(form.group_size) + ": leave " + name("bits") + " and " +
                                name("group") + " out");
    return form;
  }

  const ConversionWish& wish_;
};

}  // namespace

Result<ConvertOptions> read_conversion(const ConversionWish& wish) {
  const Reader reader(wish);
  ConvertOptions convert;
  TRY(reader.check_recipe());
  convert.form = TRY(reader.form());
  convert.scales = TRY(reader.scales(convert.form));
  convert.recipe = wish.mixed;
  convert.dtype = TRY(reader.dtype());
  return convert;
}

}  // namespace mlxd
