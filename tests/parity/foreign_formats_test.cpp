// Models as other tools store them, each beside its twin as MLX stores it, written from the same codes: both
// give the same bits, in fp32 and on the fast path. The packing here is the formats' own definition, told
// anew. Then what must be refused.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "model/float_formats.h"
#include "model/model_folder.h"
#include "model/testing/synthetic_model.h"
#include "written_models.h"

namespace mlxd::testing {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

/// A matrix of codes: value = (code − zero) · scale.
struct Codes {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t group = 0;  // of the scales
  unsigned bits = 0;
  std::vector<std::uint32_t> codes;   // [rows, columns]
  std::vector<std::uint32_t> zeros;   // [rows, groups]
  std::vector<std::uint16_t> scales;  // F16 [rows, groups]

  std::int64_t groups() const { return columns / group; }
  std::uint32_t code(std::int64_t row, std::int64_t k) const {
    return codes[static_cast<std::size_t>(row * columns + k)];
  }
  std::size_t at(std::int64_t row, std::int64_t g) const {
    return static_cast<std::size_t>(row * groups() + g);
  }
};

enum class Format { kAwq, kGptq, kGptqV2, kCompressed };

/// What a model is stored in. group 0: whole rows.
struct Case {
  std::string name;
  Format format = Format::kAwq;
  unsigned bits = 4;
  std::int64_t group = 128;
  bool symmetric = false;  // all zeros in the middle, and not stored where the format can leave them out
};

/// Numbers that follow each other as a stream of bits, little end first, in 32-bit words.
std::vector<std::uint32_t> pack_stream(const std::vector<std::uint32_t>& numbers, unsigned bits) {
  std::vector<std::uint32_t> words((numbers.size() * bits + 31) / 32);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    for (unsigned bit = 0; bit < bits; ++bit) {
      const std::size_t place = i * bits + bit;
      words[place / 32] |= (numbers[i] >> bit & 1U) << (place % 32);
    }
  }
  return words;
}

Codes make_codes(const std::string& name, std::int64_t rows, std::int64_t columns, const Case& test) {
  Random random(std::hash<std::string>{}(name));
  Codes made{rows, columns, test.group == 0 ? columns : test.group, test.bits, {}, {}, {}};
  const std::uint32_t count = 1U << test.bits;
  for (std::int64_t i = 0; i < rows * columns; ++i) made.codes.push_back(random.below(count));
  const float size = 3.0F / std::sqrt(static_cast<float>(columns)) / static_cast<float>(count);
  for (std::int64_t i = 0; i < rows * made.groups(); ++i) {
    made.zeros.push_back(test.symmetric ? count / 2 : random.below(count));
    made.scales.push_back(float_to_half(random.between(0.5F * size, 1.5F * size)));
  }
  return made;
}

/// NAME.weight, NAME.scales and NAME.biases, in the largest groups that MLX has.
std::vector<Tensor> store_as_mlx(const std::string& name, const Codes& codes) {
  std::int64_t group = 128;
  while (codes.group % group != 0) group /= 2;
  std::vector<std::uint32_t> words;
  std::vector<std::uint16_t> scales;
  std::vector<std::uint16_t> biases;
  for (std::int64_t row = 0; row < codes.rows; ++row) {
    std::vector<std::uint32_t> numbers;
    for (std::int64_t k = 0; k < codes.columns; ++k) numbers.push_back(codes.code(row, k));
    const std::vector<std::uint32_t> packed = pack_stream(numbers, codes.bits);
    words.insert(words.end(), packed.begin(), packed.end());
    for (std::int64_t k = 0; k < codes.columns; k += group) {
      const std::size_t at = codes.at(row, k / codes.group);
      scales.push_back(codes.scales[at]);
      biases.push_back(float_to_half(-static_cast<float>(codes.zeros[at]) * half_to_float(codes.scales[at])));
    }
  }
  const std::int64_t groups = codes.columns / group;
  return {{name + ".weight", DType::kU32, {codes.rows, codes.columns * codes.bits / 32}, bytes_of(words)},
          {name + ".scales", DType::kF16, {codes.rows, groups}, bytes_of(scales)},
          {name + ".biases", DType::kF16, {codes.rows, groups}, bytes_of(biases)}};
}

/// [groups, rows] from [rows, groups].
template <typename T>
std::vector<T> by_group(const Codes& codes, const std::vector<T>& values) {
  std::vector<T> turned;
  for (std::int64_t g = 0; g < codes.groups(); ++g) {
    for (std::int64_t row = 0; row < codes.rows; ++row) turned.push_back(values[codes.at(row, g)]);
  }
  return turned;
}

/// AutoAWQ packs eight columns of [inputs, outputs] into a word, in this order.
std::vector<std::uint32_t> pack_awq(const std::vector<std::uint32_t>& numbers) {
  constexpr std::size_t kOrder[] = {0, 2, 4, 6, 1, 3, 5, 7};
  std::vector<std::uint32_t> words;
  for (std::size_t i = 0; i < numbers.size(); i += 8) {
    std::uint32_t word = 0;
    for (unsigned nibble = 0; nibble < 8; ++nibble) word |= numbers[i + kOrder[nibble]] << (4 * nibble);
    words.push_back(word);
  }
  return words;
}

std::vector<Tensor> store_as_awq(const std::string& name, const Codes& codes) {
  std::vector<std::uint32_t> turned;
  for (std::int64_t k = 0; k < codes.columns; ++k) {
    for (std::int64_t row = 0; row < codes.rows; ++row) turned.push_back(codes.code(row, k));
  }
  const std::int64_t groups = codes.groups();
  return {{name + ".qweight", DType::kI32, {codes.columns, codes.rows / 8}, bytes_of(pack_awq(turned))},
          {name + ".qzeros",
           DType::kI32,
           {groups, codes.rows / 8},
           bytes_of(pack_awq(by_group(codes, codes.zeros)))},
          {name + ".scales", DType::kF16, {groups, codes.rows}, bytes_of(by_group(codes, codes.scales))}};
}

/// AutoGPTQ packs rows of [inputs, outputs] together: a column of words is the stream of one output.
std::vector<Tensor> store_as_gptq(const std::string& name, const Codes& codes, std::uint32_t zero_offset) {
  const std::int64_t words = codes.columns * codes.bits / 32;
  std::vector<std::uint32_t> weight(static_cast<std::size_t>(words * codes.rows));
  for (std::int64_t row = 0; row < codes.rows; ++row) {
    std::vector<std::uint32_t> numbers;
    for (std::int64_t k = 0; k < codes.columns; ++k) numbers.push_back(codes.code(row, k));
    const std::vector<std::uint32_t> packed = pack_stream(numbers, codes.bits);
    for (std::int64_t w = 0; w < words; ++w)
      weight[static_cast<std::size_t>(w * codes.rows + row)] = packed[static_cast<std::size_t>(w)];
  }
  const std::uint32_t mask = (1U << codes.bits) - 1U;
  std::vector<std::uint32_t> zeros = by_group(codes, codes.zeros);
  for (std::uint32_t& zero : zeros) zero = (zero - zero_offset) & mask;
  std::vector<std::int32_t> order;
  for (std::int64_t k = 0; k < codes.columns; ++k)
    order.push_back(static_cast<std::int32_t>(k / codes.group));
  const std::int64_t groups = codes.groups();
  return {{name + ".qweight", DType::kI32, {words, codes.rows}, bytes_of(weight)},
          {name + ".qzeros",
           DType::kI32,
           {groups, codes.rows * codes.bits / 32},
           bytes_of(pack_stream(zeros, codes.bits))},
          {name + ".scales", DType::kF16, {groups, codes.rows}, bytes_of(by_group(codes, codes.scales))},
          {name + ".g_idx", DType::kI32, {codes.columns}, bytes_of(order)}};
}

std::vector<Tensor> store_compressed(const std::string& name, const Codes& codes, bool has_zeros) {
  std::vector<Tensor> mlx = store_as_mlx(name, codes);
  std::vector<Tensor> stored = {
      {name + ".weight_packed", DType::kI32, mlx[0].shape, mlx[0].data},
      {name + ".weight_scale", DType::kF16, {codes.rows, codes.groups()}, bytes_of(codes.scales)},
      {name + ".weight_shape",
       DType::kI64,
       {2},
       bytes_of(std::vector<std::int64_t>{codes.rows, codes.columns})}};
  if (!has_zeros) return stored;
  // Packed along the rows.
  const std::int64_t words = codes.rows * codes.bits / 32;
  std::vector<std::uint32_t> zeros(static_cast<std::size_t>(words * codes.groups()));
  for (std::int64_t g = 0; g < codes.groups(); ++g) {
    std::vector<std::uint32_t> column;
    for (std::int64_t row = 0; row < codes.rows; ++row) column.push_back(codes.zeros[codes.at(row, g)]);
    const std::vector<std::uint32_t> packed = pack_stream(column, codes.bits);
    for (std::int64_t w = 0; w < words; ++w)
      zeros[static_cast<std::size_t>(w * codes.groups() + g)] = packed[static_cast<std::size_t>(w)];
  }
  stored.push_back({name + ".weight_zero_point", DType::kI32, {words, codes.groups()}, bytes_of(zeros)});
  return stored;
}

struct Matrix {
  std::string name;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
};

/// The projections of a llama of two layers.
std::vector<Matrix> matrices() {
  std::vector<Matrix> all;
  for (int i = 0; i < 2; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    all.push_back({layer + "self_attn.q_proj", kHidden, kHidden});
    all.push_back({layer + "self_attn.k_proj", kHidden / 2, kHidden});
    all.push_back({layer + "self_attn.v_proj", kHidden / 2, kHidden});
    all.push_back({layer + "self_attn.o_proj", kHidden, kHidden});
    all.push_back({layer + "mlp.gate_proj", kIntermediate, kHidden});
    all.push_back({layer + "mlp.up_proj", kIntermediate, kHidden});
    all.push_back({layer + "mlp.down_proj", kHidden, kIntermediate});
  }
  return all;
}

/// A llama of these projections.
void write_model(const fs::path& folder, const json::object& config, std::vector<Tensor> tensors) {
  for (int i = 0; i < 2; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    tensors.push_back(dense(layer + "input_layernorm.weight", {kHidden}, 0.7F, 1.3F));
    tensors.push_back(dense(layer + "post_attention_layernorm.weight", {kHidden}, 0.7F, 1.3F));
  }
  tensors.push_back(dense("model.embed_tokens.weight", {kVocabulary, kHidden}, -1.0F, 1.0F));
  tensors.push_back(dense("model.norm.weight", {kHidden}, 0.7F, 1.3F));
  write_tensors(folder, config, tensors);
}

json::object section_of(const Case& test) {
  const std::int64_t group = test.group == 0 ? -1 : test.group;
  switch (test.format) {
    case Format::kAwq:
      return {{"quant_method", "awq"},
              {"bits", 4},
              {"group_size", group},
              {"version", "gemm"},
              {"zero_point", true}};
    case Format::kGptq:
      return {{"quant_method", "gptq"},
              {"bits", test.bits},
              {"group_size", group},
              {"desc_act", false},
              {"sym", false}};
    case Format::kGptqV2:
      return {{"quant_method", "gptq"},
              {"bits", test.bits},
              {"group_size", group},
              {"desc_act", false},
              {"checkpoint_format", "gptq_v2"}};
    case Format::kCompressed:
      return {{"quant_method", "compressed-tensors"}, {"format", "pack-quantized"}};
  }
  return {};
}

std::vector<Tensor> store(const Case& test, const std::string& name, const Codes& codes) {
  switch (test.format) {
    case Format::kAwq:
      return store_as_awq(name, codes);
    case Format::kGptq:
      return store_as_gptq(name, codes, 1);
    case Format::kGptqV2:
      return store_as_gptq(name, codes, 0);
    case Format::kCompressed:
      return store_compressed(name, codes, !test.symmetric);
  }
  return {};
}

std::vector<Tensor> foreign_tensors(const Case& test) {
  std::vector<Tensor> tensors;
  for (const Matrix& matrix : matrices()) {
    for (Tensor& tensor :
         store(test, matrix.name, make_codes(matrix.name, matrix.rows, matrix.columns, test)))
      tensors.push_back(std::move(tensor));
  }
  return tensors;
}

void write_foreign(const fs::path& folder, const Case& test, std::vector<Tensor> tensors,
                   const json::object& changes = {}) {
  json::object config = base_config();
  json::object section = section_of(test);
  for (const auto& [key, value] : changes) section[key] = value;
  config["quantization_config"] = section;
  write_model(folder, config, std::move(tensors));
}

class ForeignIntegers : public ::testing::TestWithParam<Case> {};

TEST_P(ForeignIntegers, GiveTheBitsOfTheirTwinAsMlxStoresIt) {
  const Case& test = GetParam();
  TemporaryFolder root;
  std::vector<Tensor> tensors;
  for (const Matrix& matrix : matrices()) {
    const Codes codes = make_codes(matrix.name, matrix.rows, matrix.columns, test);
    for (Tensor& tensor : store_as_mlx(matrix.name, codes)) tensors.push_back(std::move(tensor));
  }
  write_model(root.path() / "mlx", base_config(), std::move(tensors));
  write_foreign(root.path() / "foreign", test, foreign_tensors(test));
  expect_same_bits(root.path() / "foreign", root.path() / "mlx");
}

INSTANTIATE_TEST_SUITE_P(
    All, ForeignIntegers,
    ::testing::Values(Case{"awq", Format::kAwq, 4, 128}, Case{"awq_32", Format::kAwq, 4, 32},
                      Case{"awq_rows", Format::kAwq, 4, 0}, Case{"gptq_2", Format::kGptq, 2, 64},
                      Case{"gptq_3", Format::kGptq, 3, 32}, Case{"gptq_4", Format::kGptq, 4, 128},
                      Case{"gptq_4_symmetric", Format::kGptq, 4, 64, true},
                      Case{"gptq_8", Format::kGptq, 8, 32}, Case{"gptq_rows", Format::kGptq, 4, 0},
                      Case{"gptq_v2", Format::kGptqV2, 4, 64}, Case{"int4", Format::kCompressed, 4, 32, true},
                      Case{"int4_rows", Format::kCompressed, 4, 0, true},
                      Case{"int8_rows", Format::kCompressed, 8, 0, true},
                      Case{"int4_zeros", Format::kCompressed, 4, 64}),
    [](const auto& each) { return each.param.name; });

/// What the scales of an fp8 model are for; 0: everything.
struct Fp8Case {
  std::string name;
  std::string suffix;  // of the scales' name
  DType scale_dtype = DType::kF32;
  std::int64_t block_rows = 0;
  std::int64_t block_columns = 0;
};

class ForeignFp8 : public ::testing::TestWithParam<Fp8Case> {};

std::vector<Tensor> store_fp8(const Fp8Case& test, const Matrix& matrix, std::vector<Tensor>& twin) {
  Random random(std::hash<std::string>{}(matrix.name));
  const std::int64_t block_rows = test.block_rows == 0 ? matrix.rows : test.block_rows;
  const std::int64_t block_columns = test.block_columns == 0 ? matrix.columns : test.block_columns;
  const std::int64_t scale_rows = (matrix.rows + block_rows - 1) / block_rows;
  const std::int64_t scale_columns = (matrix.columns + block_columns - 1) / block_columns;
  std::vector<float> scales;
  std::vector<std::uint16_t> halves;
  for (std::int64_t i = 0; i < scale_rows * scale_columns; ++i) {
    scales.push_back(random.between(2e-4F, 6e-4F));
    if (test.scale_dtype == DType::kBF16) {
      halves.push_back(float_to_bfloat16(scales.back()));
      scales.back() = bfloat16_to_float(halves.back());
    }
  }
  std::vector<std::uint8_t> numbers;
  std::vector<std::uint16_t> values;
  for (std::int64_t row = 0; row < matrix.rows; ++row) {
    for (std::int64_t k = 0; k < matrix.columns; ++k) {
      numbers.push_back(static_cast<std::uint8_t>(random.below(256)));
      if ((numbers.back() & 0x7FU) == 0x7FU) --numbers.back();
      const float scale =
          scales[static_cast<std::size_t>(row / block_rows * scale_columns + k / block_columns)];
      values.push_back(float_to_bfloat16(e4m3_to_float(numbers.back()) * scale));
    }
  }
  const std::vector<std::int64_t> shape = {matrix.rows, matrix.columns};
  twin.push_back({matrix.name + ".weight", DType::kBF16, shape, bytes_of(values)});
  std::vector<std::int64_t> scale_shape = {scale_rows, scale_columns};
  if (scale_rows * scale_columns == 1) scale_shape = {1};
  return {{matrix.name + ".weight", DType::kF8E4M3, shape, bytes_of(numbers)},
          {matrix.name + test.suffix, test.scale_dtype, scale_shape,
           test.scale_dtype == DType::kBF16 ? bytes_of(halves) : bytes_of(scales)},
          // Of the activations, which are computed with as they are.
          {matrix.name + ".input_scale", DType::kF32, {1}, bytes_of(std::vector<float>{1.0F})}};
}

TEST_P(ForeignFp8, GivesTheBitsOfDenseBf16) {
  TemporaryFolder root;
  std::vector<Tensor> twin;
  std::vector<Tensor> tensors;
  for (const Matrix& matrix : matrices()) {
    for (Tensor& tensor : store_fp8(GetParam(), matrix, twin)) tensors.push_back(std::move(tensor));
  }
  json::object config = base_config();
  write_model(root.path() / "mlx", config, std::move(twin));
  json::object section{{"quant_method", "fp8"}};
  if (GetParam().suffix == ".weight_scale")
    section = {{"quant_method", "compressed-tensors"}, {"format", "float-quantized"}};
  if (GetParam().block_columns > 0)
    section["weight_block_size"] = json::array{GetParam().block_rows, GetParam().block_columns};
  config["quantization_config"] = section;
  write_model(root.path() / "foreign", config, std::move(tensors));
  expect_same_bits(root.path() / "foreign", root.path() / "mlx");
}

INSTANTIATE_TEST_SUITE_P(All, ForeignFp8,
                         ::testing::Values(Fp8Case{"blocks", ".weight_scale_inv", DType::kF32, 128, 128},
                                           Fp8Case{"uneven_blocks", ".weight_scale_inv", DType::kF32, 96, 48},
                                           Fp8Case{"tensor", ".weight_scale_inv", DType::kBF16},
                                           Fp8Case{"rows", ".weight_scale", DType::kBF16, 1, 0},
                                           Fp8Case{"whole", ".weight_scale", DType::kF32}),
                         [](const auto& each) { return each.param.name; });

TEST(ForeignFormats, CompressedMxfp4IsMlxs) {
  TemporaryFolder root;
  std::vector<Tensor> twin;
  std::vector<Tensor> tensors;
  for (const Matrix& matrix : matrices()) {
    Random random(std::hash<std::string>{}(matrix.name));
    std::vector<std::uint8_t> numbers;
    for (std::int64_t i = 0; i < matrix.rows * matrix.columns / 2; ++i)
      numbers.push_back(static_cast<std::uint8_t>(random.below(256)));
    std::vector<std::uint8_t> scales;
    for (std::int64_t i = 0; i < matrix.rows * matrix.columns / 32; ++i)
      scales.push_back(static_cast<std::uint8_t>(120 + random.below(4)));
    const std::int64_t groups = matrix.columns / 32;
    twin.push_back(
        {matrix.name + ".weight", DType::kU32, {matrix.rows, matrix.columns / 8}, bytes_of(numbers)});
    twin.push_back({matrix.name + ".scales", DType::kU8, {matrix.rows, groups}, bytes_of(scales)});
    tensors.push_back(
        {matrix.name + ".weight_packed", DType::kU8, {matrix.rows, matrix.columns / 2}, bytes_of(numbers)});
    tensors.push_back({matrix.name + ".weight_scale", DType::kU8, {matrix.rows, groups}, bytes_of(scales)});
  }
  json::object config = base_config();
  write_model(root.path() / "mlx", config, std::move(twin));
  config["quantization_config"] =
      json::object{{"quant_method", "compressed-tensors"}, {"format", "mxfp4-pack-quantized"}};
  write_model(root.path() / "foreign", config, std::move(tensors));
  expect_same_bits(root.path() / "foreign", root.path() / "mlx");
}

/// Broken models, by what is wrong with the first layer's up_proj.
class BrokenForeignModels : public ::testing::Test {
 protected:
  static constexpr const char* kModule = "model.layers.0.mlp.up_proj";

  Tensor& tensor(const std::string& part) {
    for (Tensor& each : tensors_) {
      if (each.name == kModule + part) return each;
    }
    ADD_FAILURE() << "no tensor " << part;
    return tensors_.front();
  }

  void begin(const Case& test) {
    test_ = test;
    tensors_ = foreign_tensors(test);
  }

  /// Writes what is there; loading (or already opening) must end in a message with `expected`.
  void refuses(const std::string& expected, const json::object& changes = {}, bool at_once = true) {
    TemporaryFolder root;
    write_foreign(root.path() / "model", test_, tensors_, changes);
    const Result<ModelFolder> model = ModelFolder::open(root.path() / "model");
    ASSERT_EQ(model.ok(), !at_once) << expected;
    const Error error =
        model.ok() ? logits_of(root.path() / "model", {.num_threads = 1}).error() : model.error();
    EXPECT_NE(error.message.find(expected), std::string::npos) << error.message;
  }

  Case test_;
  std::vector<Tensor> tensors_;
};

TEST_F(BrokenForeignModels, OfWrongConfigurationsAreRefusedByName) {
  begin({"", Format::kAwq, 4, 128});
  refuses("quantization_config.bits: 8 is not supported", {{"bits", 8}});
  refuses("quantization_config.version: \"gemv\" is not supported", {{"version", "gemv"}});
  refuses("scales has groups of 128, config.json says 64", {{"group_size", 64}});
  refuses("quantization_config.quant_method: \"bitnet\"", {{"quant_method", "bitnet"}});
  refuses("qweight: config.json does not say how it is packed", {{"quant_method", "fp8"}});
  begin({"", Format::kGptq, 4, 128});
  refuses("quantization_config.desc_act: true is not supported", {{"desc_act", true}});
  refuses("quantization_config.bits: 5 is not supported", {{"bits", 5}});
  refuses("checkpoint_format: \"marlin\" is not supported", {{"checkpoint_format", "marlin"}});
  refuses("qweight must be I32 [32, 128]", {{"bits", 8}});
  begin({"", Format::kCompressed, 4, 64});
  refuses("format: \"nvfp4-pack-quantized\" is not supported", {{"format", "nvfp4-pack-quantized"}});
  refuses("format: \"marlin-24\" is not supported", {{"format", "marlin-24"}});
  refuses("transform_config", {{"transform_config", json::object{{"config_groups", 1}}}});
  begin({"", Format::kCompressed, 4, 64, true});
  refuses("weight_block_size", {{"quant_method", "fp8"}, {"weight_block_size", json::array{0, 128}}});
}

TEST_F(BrokenForeignModels, OfWrongTensorsAreRefusedByName) {
  const std::string module = kModule;
  begin({"", Format::kAwq, 4, 128});
  tensor(".qweight").dtype = DType::kF32;
  refuses(module + ".qweight must be I32 [128, 32]");
  begin({"", Format::kAwq, 4, 128});
  tensor(".qzeros").shape = {kIntermediate / 8, 1};
  refuses(module + ".qzeros must be I32 [1, 32]");
  begin({"", Format::kAwq, 4, 128});
  tensor(".scales").shape = {kIntermediate, 1};
  refuses(module + ".scales has groups of 0, config.json says 128");
  refuses(module + ".scales has groups of 0; multiples of 32", {{"group_size", -1}});
  begin({"", Format::kAwq, 4, 16});
  refuses(module.substr(0, 14) + ".self_attn.q_proj.scales has groups of 16; multiples of 32",
          {{"group_size", 16}});
  begin({"", Format::kAwq, 4, 128});
  tensor(".qzeros").name += "_lost";
  refuses("tensor " + module + ".qzeros is missing");

  begin({"", Format::kGptq, 4, 32});
  std::swap(tensor(".g_idx").data[0], tensor(".g_idx").data[4 * 40]);
  refuses(module + ".g_idx changes the order of the inputs (desc_act)");
  begin({"", Format::kGptq, 4, 32});
  tensor(".g_idx").dtype = DType::kF32;
  refuses(module + ".g_idx is F32, expected I32");

  begin({"", Format::kCompressed, 4, 32});
  tensor(".weight_shape").data = bytes_of(std::vector<std::int64_t>{kIntermediate, 2 * kHidden});
  refuses(module + ".weight_shape must hold [256, 128]");
  begin({"", Format::kCompressed, 4, 32});
  tensor(".weight_zero_point").shape = {4, kIntermediate / 8};
  refuses(module + ".weight_zero_point must be I32 [32, 4]");
  begin({"", Format::kCompressed, 4, 32});
  tensor(".weight_shape").name = module + ".weight_g_idx";
  refuses(module + ".weight_g_idx changes the order of the inputs (actorder)");
}

TEST_F(BrokenForeignModels, WithNanOrInfinityAreRefusedWhenTheyAreLoaded) {
  for (const Format format : {Format::kAwq, Format::kGptq, Format::kCompressed}) {
    begin({"", format, 4, 32});
    const std::string part = format == Format::kCompressed ? ".weight_scale" : ".scales";
    for (const std::uint16_t bad : {std::uint16_t{0x7E00}, std::uint16_t{0x7C00}}) {
      std::memcpy(tensor(part).data.data() + 10, &bad, sizeof(bad));
      refuses(std::string(kModule) + part + " contains NaN or infinity", {}, false);
    }
  }
  // A zero times the largest scale is beyond F16.
  begin({"", Format::kAwq, 4, 32});
  const std::uint16_t largest = 0x7BFF;
  for (std::size_t i = 0; i < tensor(".scales").data.size(); i += 2)
    std::memcpy(tensor(".scales").data.data() + i, &largest, sizeof(largest));
  refuses("contains NaN or infinity", {}, false);
}

TEST(BrokenFp8Models, AreRefusedByName) {
  const auto refuses = [](const std::string& expected, const auto& change, bool at_once) {
    TemporaryFolder root;
    std::vector<Tensor> twin;
    std::vector<Tensor> tensors;
    for (const Matrix& matrix : matrices()) {
      for (Tensor& tensor : store_fp8({"", ".weight_scale_inv", DType::kF32, 128, 128}, matrix, twin))
        tensors.push_back(std::move(tensor));
    }
    for (Tensor& tensor : tensors) change(tensor);
    json::object config = base_config();
    config["quantization_config"] = json::object{{"quant_method", "fp8"}, {"weight_block_size", {128, 128}}};
    write_model(root.path() / "model", config, std::move(tensors));
    const Result<ModelFolder> model = ModelFolder::open(root.path() / "model");
    ASSERT_EQ(model.ok(), !at_once) << expected;
    const Error error =
        model.ok() ? logits_of(root.path() / "model", {.num_threads = 1}).error() : model.error();
    EXPECT_NE(error.message.find(expected), std::string::npos) << error.message;
  };
  const std::string down = "model.layers.1.mlp.down_proj.weight";
  refuses(
      down + "_scale_inv must have a scale",
      [&](Tensor& t) {
        if (t.name == down + "_scale_inv") t.shape = {2, 1};
      },
      true);
  refuses(
      down + "_scale_inv is U32",
      [&](Tensor& t) {
        if (t.name == down + "_scale_inv") t.dtype = DType::kU32;
      },
      true);
  refuses(
      down + "_scale is missing",
      [&](Tensor& t) {
        if (t.name == down + "_scale_inv") t.name = down + "_scales";
      },
      true);
  refuses(
      down + "_scale_inv contains NaN or infinity",
      [&](Tensor& t) {
        const float nan = std::numeric_limits<float>::quiet_NaN();
        if (t.name == down + "_scale_inv") std::memcpy(t.data.data(), &nan, sizeof(nan));
      },
      false);
  refuses(
      down + " contains NaN or infinity",
      [&](Tensor& t) {
        if (t.name == down) t.data[1'000] = std::byte{0xFF};
      },
      false);
}

}  // namespace
}  // namespace mlxd::testing
