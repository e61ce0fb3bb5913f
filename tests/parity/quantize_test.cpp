// Quantizing against MLX's quantizer (quantize_codes.safetensors, README.md): the same bits.
#include "model/quantize.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "expectations.h"
#include "model/float_formats.h"

namespace mlxd::testing {
namespace {

struct Type {
  std::string name;
  DType dtype;
};

std::vector<float> values_of(const Expectations& expected, const Type& type) {
  if (type.dtype == DType::kF32) return expected.get<float>(type.name);
  std::vector<float> values;
  for (const std::uint16_t bits : expected.get<std::uint16_t>(type.name)) {
    values.push_back(type.dtype == DType::kF16 ? half_to_float(bits) : bfloat16_to_float(bits));
  }
  return values;
}

std::vector<std::byte> bytes_of(const Expectations& expected, const std::string& name, std::size_t element) {
  std::vector<std::byte> bytes;
  const auto append = [&bytes](const auto& values) {
    const auto raw = std::as_bytes(std::span(values));
    bytes.assign(raw.begin(), raw.end());
  };
  if (element == 1) append(expected.get<std::uint8_t>(name));
  if (element == 2) append(expected.get<std::uint16_t>(name));
  if (element == 4) append(expected.get<std::uint32_t>(name));
  return bytes;
}

TEST(Quantize, GivesTheCodesOfMlx) {
  const Expectations expected("quantize_codes.safetensors");
  std::vector<Quantization> forms = {{QuantizationMode::kMxfp4, 4, 32},
                                     {QuantizationMode::kMxfp8, 8, 32},
                                     {QuantizationMode::kNvfp4, 4, 16}};
  for (const std::int32_t bits : {2, 3, 4, 5, 6, 8}) {
    for (const std::int32_t group_size : {32, 64, 128})
      forms.push_back({QuantizationMode::kAffine, bits, group_size});
  }
  for (const Type& type : {Type{"f16", DType::kF16}, Type{"bf16", DType::kBF16}, Type{"f32", DType::kF32}}) {
    const std::vector<float> values = values_of(expected, type);
    ASSERT_EQ(values.size(), 12U * 128U);
    for (const Quantization& form : forms) {
      const std::string name = type.name + "." + std::string(to_string(form.mode)) + "_" +
                               std::to_string(form.bits) + "_" + std::to_string(form.group_size);
      SCOPED_TRACE(name);
      const bool is_affine = form.mode == QuantizationMode::kAffine;
      QuantizedRows rows;
      quantize_rows(values, form, type.dtype, rows);
      EXPECT_EQ(rows.words, expected.get<std::uint32_t>(name + ".weight"));
      EXPECT_EQ(rows.scales, bytes_of(expected, name + ".scales", is_affine ? size_of(type.dtype) : 1));
      const std::vector<std::byte> biases =
          is_affine ? bytes_of(expected, name + ".biases", size_of(type.dtype)) : std::vector<std::byte>();
      EXPECT_EQ(rows.biases, biases);
    }
  }
}

}  // namespace
}  // namespace mlxd::testing
