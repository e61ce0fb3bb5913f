#include "backends/cpu/linear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>

#include "backends/cpu/linear_test_weights.h"

namespace mlxd {
namespace {

constexpr std::uint64_t kSeed = 20261123;
constexpr std::int32_t kMaxRows = 100;
constexpr std::int32_t kRowCounts[] = {1, 2, 3, 5, 8, 15, 16, 17, 33, 64, 100};

std::vector<TestFormat> affine_formats() {
  std::vector<TestFormat> formats;
  for (const std::int32_t bits : {4, 8, 2, 3, 5, 6}) {
    for (const std::int32_t group : {32, 64, 128}) {
      for (const DType type : {DType::kBF16, DType::kF16, DType::kF32}) {
        if (bits != 4 && bits != 8 && type != DType::kBF16) continue;
        formats.push_back({bits, group, type});
      }
    }
  }
  return formats;
}

constexpr TestFormat kFloatModes[] = {kMxfp4Format, kMxfp8Format, kNvfp4Format};

std::vector<TestFormat> all_formats() {
  std::vector<TestFormat> formats = affine_formats();
  formats.insert(formats.end(), std::begin(kFloatModes), std::end(kFloatModes));
  for (const DType type : {DType::kF16, DType::kBF16, DType::kF32}) formats.push_back({0, 0, type});
  return formats;
}

std::vector<float> random_rows(std::int32_t rows, std::int32_t features, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<std::size_t>(rows) * static_cast<std::size_t>(features));
  for (float& value : x) value = normal(random);
  return x;
}

Linear pack(std::span<const LinearSpec> parts, const WeightMap& weights, Isa isa,
            PartOrder order = PartOrder::kStacked) {
  auto linear = Linear::pack(parts, weights, isa, order);
  if (!linear.ok()) ADD_FAILURE() << linear.error().message;
  return linear.take_value();
}

/// y of all blocks, [rows, out_features]. Gaps between rows must stay as they are.
std::vector<float> product(const Linear& linear, Activations& activations, const std::vector<float>& x,
                           std::int32_t rows, std::int32_t blocks_at_once = 1 << 20) {
  const std::int32_t out = linear.out_features();
  const std::ptrdiff_t stride = out + 3;
  constexpr float kUntouched = 12345.0F;
  std::vector<float> y(static_cast<std::size_t>(rows * stride), kUntouched);
  activations.reset(rows, linear.in_features(), linear.activation_forms());
  activations.fill(x.data(), linear.in_features(), 0, activations.num_groups());
  for (std::int32_t block = 0; block < linear.num_blocks();
       block += std::min(blocks_at_once, linear.num_blocks())) {
    const std::int32_t last = std::min(linear.num_blocks() - block, blocks_at_once) + block;
    linear.apply(activations, block, last, y.data(), stride);
  }
  std::vector<float> result;
  for (std::int32_t row = 0; row < rows; ++row) {
    const float* from = y.data() + row * stride;
    result.insert(result.end(), from, from + out);
    for (std::ptrdiff_t gap = out; gap < stride; ++gap) EXPECT_EQ(from[gap], kUntouched);
  }
  return result;
}

void expect_same_bits(const std::vector<float>& a, const std::vector<float>& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  const auto different = std::mismatch(a.begin(), a.end(), b.begin(), [](float u, float v) {
    return std::bit_cast<std::uint32_t>(u) == std::bit_cast<std::uint32_t>(v) ||
           (std::isnan(u) && std::isnan(v));
  });
  ASSERT_TRUE(different.first == a.end()) << what << ": " << *different.first << " and " << *different.second
                                          << " at element " << (different.first - a.begin());
}

std::vector<float> dequantize(const Linear& linear) {
  const auto in = static_cast<std::size_t>(linear.in_features());
  std::vector<float> w(static_cast<std::size_t>(linear.out_features()) * in);
  for (std::int32_t row = 0; row < linear.out_features(); ++row) {
    linear.dequantize_row(row, w.data() + static_cast<std::size_t>(row) * in);
  }
  return w;
}

TEST(Linear, every_instruction_set_gives_the_bits_of_the_scalar_model_for_every_format_and_number_of_rows) {
  std::uint64_t seed = kSeed;
  for (const TestFormat& format : all_formats()) {
    const std::int32_t group = std::max(format.group_size, 32);
    const std::pair<std::int32_t, std::int32_t> shapes[] = {{37, format.bits == 0 ? 75 : 3 * group},
                                                            {64, format.bits == 0 ? 256 : 128},
                                                            {9, format.bits == 0 ? 2100 : 2176}};
    for (const auto& [out, in] : shapes) {
      TestWeights source(++seed);
      const LinearSpec spec = source.add("layer", out, in, format, out != 64);
      const WeightMap weights = source.open();
      const std::vector<float> x = random_rows(kMaxRows, in, seed);
      const Linear model = pack({&spec, 1}, weights, Isa::kScalar);
      Activations model_activations(kMaxRows, in, Isa::kScalar);
      const std::vector<float> expected = product(model, model_activations, x, kMaxRows);
      for (const Isa isa : available_isas()) {
        const Linear linear = pack({&spec, 1}, weights, isa);
        Activations activations(kMaxRows, in, isa);
        for (const std::int32_t rows : kRowCounts) {
          const std::vector<float> y = product(linear, activations, x, rows);
          const std::vector<float> first(expected.begin(), expected.begin() + rows * out);
          expect_same_bits(y, first,
                           describe(format) + " " + std::string(to_string(isa)) + " " + std::to_string(out) +
                               "x" + std::to_string(in) + " rows " + std::to_string(rows));
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

/// Distance of y [rows, out] from the exact product of w [out, in] and x, relative to its size.
double relative_error(const std::vector<float>& y, const std::vector<float>& w, const std::vector<float>& x,
                      std::int32_t out, std::int32_t in) {
  const auto features = static_cast<std::size_t>(in);
  const auto outputs = static_cast<std::size_t>(out);
  double error = 0;
  double size = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const float* row = w.data() + i % outputs * features;
    const float* input = x.data() + i / outputs * features;
    double exact = 0;
    for (std::size_t k = 0; k < features; ++k) exact += double{row[k]} * double{input[k]};
    error += std::pow(double{y[i]} - exact, 2);
    size += exact * exact;
  }
  return std::sqrt(error / size);
}

// Sanitized builds look for wrong memory, and are some thirty times slower.
#if defined(MLXD_SANITIZED)
constexpr std::int32_t kTriedBits[] = {3, 4, 8};
constexpr std::int32_t kTriedGroups[] = {64};
#else
constexpr std::int32_t kTriedBits[] = {2, 3, 4, 5, 6, 8};
constexpr std::int32_t kTriedGroups[] = {32, 64, 128};
#endif
// Around the tiles and the numbers of rows from which other kernels take over.
constexpr std::int32_t kTriedRows[] = {1, 2, 5, 8, 9, 15, 16, 17, 24, 27, 28, 29, 32, 33, 47, 49, kMaxRows};

/// Where kernels change the way they cut rows into tiles, and where their panels of weights end.
class LinearOn : public testing::TestWithParam<Isa> {};

TEST_P(LinearOn,
       rows_around_every_tile_size_and_features_around_every_panel_have_the_bits_of_the_scalar_model) {
  const std::vector<Isa> isas = available_isas();
  if (std::find(isas.begin(), isas.end(), GetParam()) == isas.end()) {
    GTEST_SKIP() << "this build or machine has no " << to_string(GetParam());
  }
  std::uint64_t seed = kSeed;
  for (const std::int32_t bits : kTriedBits) {
    for (const std::int32_t group : kTriedGroups) {
      for (const std::int32_t in : {group, 3 * group, 1024, 1024 + group, 2048 + 3 * group}) {
        const std::int32_t out = in == 1024 ? 83 : 32;
        TestWeights source(++seed);
        const LinearSpec spec = source.add("layer", out, in, {bits, group, DType::kBF16}, in != 1024);
        const WeightMap weights = source.open();
        const std::vector<float> x = random_rows(kMaxRows, in, seed);
        const Linear model = pack({&spec, 1}, weights, Isa::kScalar);
        const Linear linear = pack({&spec, 1}, weights, GetParam());
        Activations model_activations(kMaxRows, in, Isa::kScalar);
        Activations activations(kMaxRows, in, GetParam());
        const std::vector<float> expected = product(model, model_activations, x, kMaxRows);
        for (const std::int32_t rows : kTriedRows) {
          const std::vector<float> first(expected.begin(), expected.begin() + rows * out);
          expect_same_bits(product(linear, activations, x, rows, rows % 3 == 0 ? 2 : 1 << 20), first,
                           std::to_string(bits) + " bits, group " + std::to_string(group) + ", " +
                               std::to_string(in) + " features, " + std::to_string(rows) + " rows");
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, LinearOn,
                         testing::Values(Isa::kAvx2, Isa::kAvxVnni, Isa::kAvx512Vnni, Isa::kAmx, Isa::kNeon,
                                         Isa::kNeonI8mm),
                         [](const testing::TestParamInfo<Isa>& isa) {
                           std::string name(to_string(isa.param));
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(Linear, the_scalar_model_is_within_the_rounding_of_its_activations_of_an_exact_product) {
  for (const TestFormat& format : all_formats()) {
    TestWeights source(kSeed);
    const LinearSpec spec = source.add("layer", 48, 1024, format);
    const WeightMap weights = source.open();
    const Linear linear = pack({&spec, 1}, weights, Isa::kScalar);
    Activations activations(4, 1024, Isa::kScalar);
    const std::vector<float> x = random_rows(4, 1024, kSeed);
    const std::vector<float> y = product(linear, activations, x, 4);
    // Rounding to int8 with one scale for 32 normal values costs 0.0054; fp32 sums 1e-6.
    const bool exact_activations = format.bits == 0 || format.mode == QuantizationMode::kMxfp8;
    EXPECT_LT(relative_error(y, dequantize(linear), x, 48, 1024), exact_activations ? 2e-6 : 0.008)
        << describe(format);
  }
}

/// Element `index` of a tensor of floats.
float scalar_at(const TensorView& tensor, std::size_t index) {
  const std::byte* data = tensor.data.data();
  if (tensor.dtype == DType::kF32) {
    float value = 0;
    std::memcpy(&value, data + 4 * index, 4);
    return value;
  }
  std::uint16_t bits = 0;
  std::memcpy(&bits, data + 2 * index, 2);
  return tensor.dtype == DType::kF16 ? half_to_float(bits) : bfloat16_to_float(bits);
}

/// The weight at `element` of a layer as its format defines it.
float weight_at(const WeightMap& weights, const TestFormat& format, std::int32_t element) {
  const TensorView& codes = *weights.find("layer.weight");
  const TensorView& scales = *weights.find("layer.scales");
  std::uint32_t code = 0;
  for (std::int32_t bit = 0; bit < format.bits; ++bit) {
    const auto position = static_cast<std::size_t>(element * format.bits + bit);
    const auto byte = std::to_integer<std::uint32_t>(codes.data[position / 8]);
    code |= ((byte >> (position % 8)) & 1U) << static_cast<unsigned>(bit);
  }
  const auto group = static_cast<std::size_t>(element / format.group_size);
  const auto small = static_cast<std::uint8_t>(code);
  const auto scale = std::to_integer<std::uint8_t>(scales.data[group]);
  switch (format.mode) {
    case QuantizationMode::kMxfp4:
      return e2m1_to_float(small) * e8m0_to_float(scale);
    case QuantizationMode::kMxfp8:
      return e4m3_to_float(small) * e8m0_to_float(scale);
    case QuantizationMode::kNvfp4:
      return e2m1_to_float(small) * e4m3_to_float(scale);
    default:
      return std::fma(static_cast<float>(code), scalar_at(scales, group),
                      scalar_at(*weights.find("layer.biases"), group));
  }
}

TEST(Linear, sixteen_bit_activations_are_as_good_as_exact_and_the_same_everywhere) {
  for (const TestFormat& format : all_formats()) {
    if (format.scalar_type != DType::kBF16) continue;
    TestWeights source(kSeed);
    const std::int32_t in = 1024;
    const LinearSpec spec = source.add("layer", 37, in, format);
    const WeightMap weights = source.open();
    const std::vector<float> x = random_rows(21, in, kSeed);
    std::vector<float> expected;
    for (const Isa isa : available_isas()) {
      const Linear linear = pack({&spec, 1}, weights, isa);
      Activations activations(21, in, isa, 16);
      const std::vector<float> y = product(linear, activations, x, 21);
      if (expected.empty()) {
        expected = y;
        EXPECT_LT(relative_error(y, dequantize(linear), x, 37, in), 5e-5) << describe(format);
      }
      expect_same_bits(y, expected, describe(format) + " " + std::string(to_string(isa)));
      for (const std::int32_t rows : {1, 3, 8}) {
        const std::vector<float> first(expected.begin(), expected.begin() + rows * 37);
        expect_same_bits(product(linear, activations, x, rows), first, "rows " + std::to_string(rows));
      }
    }
  }
}

TEST(Linear, packed_weights_lose_nothing) {
  std::vector<TestFormat> formats = affine_formats();
  formats.insert(formats.end(), std::begin(kFloatModes), std::end(kFloatModes));
  for (const TestFormat& format : formats) {
    const std::int32_t out = 21;
    const std::int32_t in = 2 * std::max(format.group_size, 32);
    TestWeights source(kSeed);
    const LinearSpec spec = source.add("layer", out, in, format);
    const WeightMap weights = source.open();
    const Linear linear = pack({&spec, 1}, weights, Isa::kScalar);
    const std::vector<float> w = dequantize(linear);
    for (std::int32_t element = 0; element < out * in; ++element) {
      ASSERT_EQ(w[static_cast<std::size_t>(element)], weight_at(weights, format, element))
          << describe(format) << " element " << element;
    }
  }
}

TEST(Linear, packed_weights_are_of_about_the_size_of_the_source) {
  for (const TestFormat& format : all_formats()) {
    TestWeights source(kSeed);
    const LinearSpec spec = source.add("layer", 128, 1024, format);
    const WeightMap weights = source.open();
    const Linear linear = pack({&spec, 1}, weights, Isa::kScalar);
    EXPECT_EQ(linear.memory_bytes(), weights.total_bytes()) << describe(format);
  }
}

TEST(Linear, activations_and_blocks_split_in_any_way_give_the_same_bits) {
  TestWeights source(kSeed);
  const LinearSpec specs[] = {
      source.add("q", 80, 256, {4, 64, DType::kF16}), source.add("k", 23, 256, {8, 32, DType::kBF16}),
      source.add("v", 40, 256, {0, 0, DType::kBF16}), source.add("w", 33, 256, kMxfp4Format),
      source.add("x", 16, 256, kNvfp4Format),         source.add("y", 17, 256, kMxfp8Format)};
  const WeightMap weights = source.open();
  for (const Isa isa : available_isas()) {
    const Linear linear = pack(specs, weights, isa);
    EXPECT_EQ(linear.activation_forms(), ActivationForms::kAll);
    for (const std::int32_t rows : {1, 7, 16, 40}) {
      const std::vector<float> x = random_rows(rows, 256, kSeed);
      Activations activations(rows, 256, isa);
      const std::vector<float> whole = product(linear, activations, x, rows);
      for (const std::int32_t blocks : {1, 2, 3, 5}) {
        expect_same_bits(product(linear, activations, x, rows, blocks), whole, "blocks");
      }
      activations.reset(rows, 256);
      for (const std::int32_t group : {5, 2, 7, 0, 1, 4, 3, 6})
        activations.fill(x.data(), 256, group, group + 1);
      std::vector<float> y(static_cast<std::size_t>(rows * linear.out_features()));
      linear.apply(activations, 0, linear.num_blocks(), y.data(), linear.out_features());
      expect_same_bits(y, whole, "groups");
    }
  }
}

TEST(Linear, stacked_parts_follow_each_other_as_if_each_were_alone) {
  TestWeights source(kSeed);
  const LinearSpec specs[] = {source.add("q", 48, 128, {4, 64, DType::kF16}, true),
                              source.add("k", 20, 128, {4, 64, DType::kF16}),
                              source.add("v", 33, 128, {6, 64, DType::kF16}, true)};
  const WeightMap weights = source.open();
  const Isa isa = available_isas().back();
  const Linear together = pack(specs, weights, isa);
  EXPECT_EQ(together.out_features(), 101);
  EXPECT_EQ(together.num_blocks(), 3 + 2 + 3);
  const std::int32_t rows_of_blocks[] = {0, 16, 32, 48, 64, 68, 84, 100, 101};
  for (std::int32_t block = 0; block <= 8; ++block)
    EXPECT_EQ(together.block_row(block), rows_of_blocks[block]);

  const std::vector<float> x = random_rows(3, 128, kSeed);
  Activations activations(3, 128, isa);
  const std::vector<float> y = product(together, activations, x, 3);
  std::int32_t first = 0;
  for (const LinearSpec& spec : specs) {
    const Linear alone = pack({&spec, 1}, weights, isa);
    const std::vector<float> part = product(alone, activations, x, 3);
    std::vector<float> row(128);
    std::vector<float> same_row(128);
    for (std::int32_t n = 0; n < spec.out_features; ++n) {
      for (std::int32_t m = 0; m < 3; ++m) {
        ASSERT_EQ(y[static_cast<std::size_t>(m * 101 + first + n)],
                  part[static_cast<std::size_t>(m * spec.out_features + n)]);
      }
      together.dequantize_row(first + n, row.data());
      alone.dequantize_row(n, same_row.data());
      ASSERT_EQ(row, same_row);
    }
    first += spec.out_features;
  }
}

TEST(Linear, interleaved_parts_alternate_block_by_block) {
  for (const std::int32_t up_bits : {4, 8}) {  // of one format, and of two
    TestWeights source(kSeed);
    const LinearSpec specs[] = {source.add("gate", 40, 128, {4, 64, DType::kF16}, true),
                                source.add("up", 40, 128, {up_bits, 64, DType::kF16})};
    const WeightMap weights = source.open();
    const Isa isa = available_isas().back();
    const Linear together = pack(specs, weights, isa, PartOrder::kInterleaved);
    const std::int32_t rows_of_blocks[] = {0, 16, 32, 48, 64, 72, 80};
    ASSERT_EQ(together.num_blocks(), 6);
    for (std::int32_t block = 0; block <= 6; ++block)
      EXPECT_EQ(together.block_row(block), rows_of_blocks[block]);
    for (const std::int32_t rows : {1, 30}) {
      const std::vector<float> x = random_rows(rows, 128, kSeed);
      Activations activations(rows, 128, isa);
      const std::vector<float> y = product(together, activations, x, rows);
      for (std::int32_t part = 0; part < 2; ++part) {
        const Linear alone = pack({&specs[part], 1}, weights, isa);
        const std::vector<float> expected = product(alone, activations, x, rows);
        for (std::int32_t m = 0; m < rows; ++m) {
          for (std::int32_t n = 0; n < 40; ++n) {
            const std::int32_t column = together.block_row(2 * (n / 16) + part) + n % 16;
            ASSERT_EQ(y[static_cast<std::size_t>(m * 80 + column)],
                      expected[static_cast<std::size_t>(m * 40 + n)]);
          }
        }
      }
    }
  }
}

TEST(Linear, a_row_does_not_depend_on_the_others) {
  TestWeights source(kSeed);
  const LinearSpec spec = source.add("layer", 100, 4224, {4, 128, DType::kBF16});
  const WeightMap weights = source.open();
  const std::vector<float> x = random_rows(40, 4224, kSeed);
  for (const Isa isa : available_isas()) {
    const Linear linear = pack({&spec, 1}, weights, isa);
    Activations activations(40, 4224, isa);
    const std::vector<float> together = product(linear, activations, x, 40);
    for (const std::int32_t row : {0, 7, 8, 17, 39}) {
      const std::vector<float> one(x.begin() + row * 4224, x.begin() + (row + 1) * 4224);
      const std::vector<float> expected(together.begin() + row * 100, together.begin() + (row + 1) * 100);
      expect_same_bits(product(linear, activations, one, 1), expected, "row " + std::to_string(row));
    }
  }
}

TEST(Linear, extreme_activations_give_the_same_bits_everywhere) {
  constexpr float kDenormal = 1e-41F;
  const std::function<float(int)> inputs[] = {
      [](int) { return 0.0F; },
      [](int) { return -0.0F; },
      [](int) { return 1.0F; },
      [](int k) { return k % 2 == 0 ? 3e30F : -3e30F; },
      [](int) { return kDenormal; },
      [](int k) { return k % 32 == 5 ? 1e-30F : kDenormal; },
      [](int k) { return k % 32 == 0 ? 1e20F : 1e-20F; },
      [](int k) { return (static_cast<float>(k % 255) - 127.0F) * 0.5F; },  // ties of the rounding
      [](int k) { return k == 40 ? std::numeric_limits<float>::infinity() : 1.0F; },
      [](int k) { return k == 40 ? std::numeric_limits<float>::quiet_NaN() : 1.0F; },
  };
  const TestFormat formats[] = {{2, 32, DType::kF32}, {3, 32, DType::kF32}, {4, 32, DType::kF32},
                                {5, 32, DType::kF32}, {6, 32, DType::kF32}, {8, 32, DType::kF32},
                                kMxfp4Format,         kNvfp4Format,         kMxfp8Format};
  for (const TestFormat& format : formats) {
    TestWeights source(kSeed);
    const LinearSpec spec = source.add("layer", 32, 256, format);
    auto& codes = source.data("layer.weight");
    // The largest codes: sums as large as they get.
    const auto largest = format.mode == QuantizationMode::kAffine  ? std::byte{0xFF}
                         : format.mode == QuantizationMode::kMxfp8 ? std::byte{0x7E}
                                                                   : std::byte{0x77};
    std::fill_n(codes.begin(), codes.size() / 2, largest);
    const WeightMap weights = source.open();
    for (const auto& input : inputs) {
      std::vector<float> x(17 * 256);
      for (int k = 0; k < 17 * 256; ++k) {
        const bool usual_row = k / 256 % 3 == 1;  // must not notice its neighbours
        x[static_cast<std::size_t>(k)] = usual_row ? 0.5F : input(k % 256);
      }
      Activations model_activations(17, 256, Isa::kScalar);
      const std::vector<float> expected =
          product(pack({&spec, 1}, weights, Isa::kScalar), model_activations, x, 17);
      EXPECT_EQ(std::isfinite(expected[0]), std::isfinite(x[40]));
      EXPECT_TRUE(std::isfinite(expected[32]));
      for (const Isa isa : available_isas()) {
        Activations activations(17, 256, isa);
        expect_same_bits(product(pack({&spec, 1}, weights, isa), activations, x, 17), expected,
                         std::string(to_string(isa)) + " x[0] " + std::to_string(x[0]));
      }
    }
  }
}

/// Overwrites element `index` of a float tensor with raw bits.
template <typename Bits>
void poke(TestWeights& source, const std::string& tensor, std::size_t index, Bits bits) {
  std::memcpy(source.data(tensor).data() + index * sizeof bits, &bits, sizeof bits);
}

void expect_refused(const WeightMap& weights, const LinearSpec& spec, const std::string& tensor) {
  const auto linear = Linear::pack({&spec, 1}, weights, available_isas().back());
  ASSERT_FALSE(linear.ok()) << tensor;
  EXPECT_EQ(linear.error().kind, ErrorKind::kCorruptData) << linear.error().message;
  EXPECT_NE(linear.error().message.find(tensor), std::string::npos) << linear.error().message;
}

TEST(Linear, a_nan_or_infinity_is_refused_naming_the_tensor) {
  constexpr std::uint16_t kHalfNan = 0x7E00;
  constexpr std::uint16_t kHalfInfinity = 0xFC00;
  constexpr std::uint16_t kBfloatInfinity = 0x7F80;
  constexpr std::uint32_t kNan = 0xFFC00001;
  const std::pair<TestFormat, std::function<std::string(TestWeights&)>> cases[] = {
      {{4, 64, DType::kF16},
       [](TestWeights& w) {
         poke(w, "layer.scales", 37, kHalfNan);
         return "layer.scales";
       }},
      {{4, 64, DType::kF16},
       [](TestWeights& w) {
         poke(w, "layer.biases", 0, kHalfInfinity);
         return "layer.biases";
       }},
      {{8, 32, DType::kBF16},
       [](TestWeights& w) {
         poke(w, "layer.biases", 79, kBfloatInfinity);
         return "layer.biases";
       }},
      {{5, 64, DType::kF32},
       [](TestWeights& w) {
         poke(w, "layer.scales", 11, kNan);
         return "layer.scales";
       }},
      {kMxfp4Format,
       [](TestWeights& w) {
         poke(w, "layer.scales", 9, std::uint8_t{255});
         return "layer.scales";
       }},
      {kMxfp4Format,
       [](TestWeights& w) {
         poke(w, "layer.scales", 79, std::uint8_t{253});  // 6 × 2^126 is beyond fp32
         return "layer.scales";
       }},
      {kMxfp8Format,
       [](TestWeights& w) {
         poke(w, "layer.scales", 0, std::uint8_t{247});  // 448 × 2^120 is
         return "layer.scales";
       }},
      {kMxfp8Format,
       [](TestWeights& w) {
         poke(w, "layer.weight", 2559, std::uint8_t{0xFF});
         return "layer.weight";
       }},
      {kNvfp4Format,
       [](TestWeights& w) {
         poke(w, "layer.scales", 159, std::uint8_t{0x7F});
         return "layer.scales";
       }},
      {{0, 0, DType::kF32},
       [](TestWeights& w) {
         poke(w, "layer.weight", 2559, kNan);
         return "layer.weight";
       }},
      {{0, 0, DType::kBF16},
       [](TestWeights& w) {
         poke(w, "layer.weight", 5, kBfloatInfinity);
         return "layer.weight";
       }},
      {{4, 64, DType::kF16},
       [](TestWeights& w) {
         poke(w, "layer.bias", 19, kHalfNan);
         return "layer.bias";
       }},
  };
  for (const auto& [format, damage] : cases) {
    TestWeights source(kSeed);
    const LinearSpec spec = source.add("layer", 20, 128, format, true);
    const std::string tensor = damage(source);
    expect_refused(source.open(), spec, "'" + tensor + "'");
  }
}

TEST(Linear, every_scale_gives_the_same_bits_everywhere) {
  for (const TestFormat& format : kFloatModes) {
    TestWeights source(kSeed);
    const LinearSpec spec = source.add("layer", 512, 32, format);
    auto& scales = source.data("layer.scales");
    const unsigned largest = format.mode == QuantizationMode::kMxfp4 ? 252 : 246;
    for (std::size_t i = 0; i < scales.size(); ++i) {
      const auto bits = static_cast<std::uint8_t>(i % 256);
      const bool allowed =
          format.mode == QuantizationMode::kNvfp4 ? (bits & 0x7FU) != 0x7FU : bits <= largest;
      scales[i] = allowed ? static_cast<std::byte>(bits) : std::byte{0};
    }
    const WeightMap weights = source.open();
    const std::vector<float> x = random_rows(3, 32, kSeed);
    Activations model_activations(3, 32, Isa::kScalar);
    const std::vector<float> expected =
        product(pack({&spec, 1}, weights, Isa::kScalar), model_activations, x, 3);
    for (const Isa isa : available_isas()) {
      Activations activations(3, 32, isa);
      expect_same_bits(product(pack({&spec, 1}, weights, isa), activations, x, 3), expected,
                       describe(format) + " " + std::string(to_string(isa)));
    }
  }
}

TEST(Linear, tensors_that_do_not_fit_the_layer_are_refused_by_name) {
  const TestFormat format = {4, 64, DType::kF16};
  const std::pair<std::string, std::function<void(TestWeights&)>> cases[] = {
      {"layer.scales", [](TestWeights& w) { w.remove("layer.scales"); }},
      {"layer.weight", [](TestWeights& w) { w.remove("layer.weight"); }},
      {"layer.biases",
       [](TestWeights& w) {
         w.reshape("layer.biases", DType::kF16, {20, 1});
       }},
      {"layer.scales",
       [](TestWeights& w) {
         w.reshape("layer.scales", DType::kI32, {20, 2});
       }},
      {"layer.weight",
       [](TestWeights& w) {
         w.reshape("layer.weight", DType::kU32, {20, 15});
       }},
      {"layer.weight",
       [](TestWeights& w) {
         w.reshape("layer.weight", DType::kF16, {20, 128});
       }},
      {"layer.bias", [](TestWeights& w) { w.reshape("layer.bias", DType::kF16, {21}); }},
  };
  for (const auto& [tensor, damage] : cases) {
    TestWeights source(kSeed);
    const LinearSpec spec = source.add("layer", 20, 128, format, true);
    damage(source);
    expect_refused(source.open(), spec, tensor);
  }
}

}  // namespace
}  // namespace mlxd
