// Conversions of every architecture's tiny model against what mlx-lm's converter makes of it
// (conversions.json, README.md): names, types, shapes and bits of all tensors, and the quantization that
// config.json tells.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <set>
#include <span>
#include <string>

#include "model/json.h"
#include "model/testing/rule_model.h"
#include "model/testing/synthetic_model.h"
#include "model/weight_map.h"
#include "workbench/convert_model.h"

namespace mlxd::testing {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::uint64_t kFnvOffset = 0xCBF29CE484222325U;

/// The options behind a conversion's name in make_conversions.py.
ConvertOptions options_of(const std::string& conversion) {
  ConvertOptions options;
  const std::string type = conversion.substr(conversion.rfind('_') + 1);
  options.dtype = type == "f16" ? DType::kF16 : type == "bf16" ? DType::kBF16 : DType::kF32;
  if (conversion.starts_with("mixed")) {
    options.recipe = conversion.substr(0, conversion.rfind('_'));
    options.form = {QuantizationMode::kAffine, 4, 32};
  } else if (conversion.starts_with("affine")) {
    const bool six = conversion.starts_with("affine_6");
    options.form = {QuantizationMode::kAffine, six ? 6 : 4, six ? 64 : 32};
  } else if (conversion.starts_with("nvfp4")) {
    options.form = {QuantizationMode::kNvfp4, 4, 16};
  } else {
    const bool eight = conversion.starts_with("mxfp8");
    options.form = {eight ? QuantizationMode::kMxfp8 : QuantizationMode::kMxfp4, eight ? 8 : 4, 32};
  }
  return options;
}

/// FNV-1a over little-endian 32-bit words, the last padded with zeros.
std::uint64_t words_hash(std::uint64_t value, std::span<const std::byte> data) {
  for (std::size_t at = 0; at < data.size(); at += 4) {
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < 4 && at + i < data.size(); ++i)
      word |= std::to_integer<std::uint64_t>(data[at + i]) << (8 * i);
    value = (value ^ word) * 0x100000001B3U;
  }
  return value;
}

std::string hex(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(value));
  return text;
}

struct Contents {
  std::size_t num_tensors = 0;
  std::string hash;
  std::string list;  // a line for each tensor, as make_conversions.py --list prints it
};

Contents contents_of(const WeightMap& weights) {
  Contents contents;
  std::uint64_t value = kFnvOffset;
  for (const auto& [name, tensor] : weights.tensors()) {
    std::string head = name + " " + std::string(to_string(tensor.dtype)) + " [";
    for (std::size_t i = 0; i < tensor.shape.size(); ++i)
      head += (i > 0 ? ", " : "") + std::to_string(tensor.shape[i]);
    head += "]";
    value = words_hash(words_hash(value, std::as_bytes(std::span(head))), tensor.data);
    contents.list += head + " " + hex(words_hash(kFnvOffset, tensor.data)) + "\n";
    ++contents.num_tensors;
  }
  contents.hash = hex(value);
  return contents;
}

json::object read_case(const std::string& name) {
  const fs::path folder = fs::path(MLXD_SOURCE_DIR) / "tests/parity/architectures";
  const bool deep = name == "llama_deep";
  json::object read = read_json_object(folder / ((deep ? "llama" : name) + ".json"), 1U << 20U).take_value();
  if (!deep) return read;
  read["config"].as_object()["num_hidden_layers"] = 16;
  for (auto& entry : read["tensors"].as_object()) {
    json::array& rule = entry.value().as_array();
    if (rule.size() == 5) rule[4] = 16;
  }
  return read;
}

/// Converts `source` as the conversion's name says and compares with what mlx-lm made of it.
void compare_conversion(const fs::path& source, const fs::path& out, const std::string& conversion,
                        const json::object& want) {
  ConvertOptions options = options_of(conversion);
  options.out = out;
  options.overwrite = true;
  const Result<ConvertReport> report = convert_model(source, options);
  if (want.contains("refused")) {
    ASSERT_FALSE(report.ok());
    EXPECT_EQ(report.error().kind, ErrorKind::kUnsupported) << report.error().message;
    return;
  }
  ASSERT_TRUE(report.ok()) << report.error().message;
  // mlx-lm's count overlooks parameters of modules that also have modules: sinks, biases and scales of
  // routers.
  const std::int64_t overlooked = report->num_parameters - want.at("parameters").as_int64();
  EXPECT_TRUE(overlooked >= 0 && overlooked <= 512) << overlooked;
  const Result<WeightMap> weights = WeightMap::open(out);
  ASSERT_TRUE(weights.ok()) << weights.error().message;
  const Contents contents = contents_of(*weights);
  EXPECT_EQ(contents.num_tensors, want.at("tensors").to_number<std::size_t>());
  EXPECT_EQ(contents.hash, std::string(want.at("hash").as_string())) << contents.list;
  const json::value* quantization = want.if_contains("quantization");
  if (quantization == nullptr) return;
  const json::object config = read_json_object(out / "config.json", 1U << 20U).take_value();
  EXPECT_EQ(config.at("quantization"), *quantization);
  EXPECT_EQ(config.at("quantization_config"), *quantization);
}

TEST(Conversions, GiveTheTensorsOfMlxLm) {
  const json::object expected =
      read_json_object(fs::path(MLXD_SOURCE_DIR) / "tests/parity/conversions.json", 1U << 20U).take_value();
  const TemporaryFolder folder;
  std::string written;
  int num_compared = 0;
  for (const auto& entry : expected) {
    const std::string key(entry.key());
    SCOPED_TRACE(key);
    const std::string name = key.substr(0, key.find(' '));
    if (written != name) {
      const json::object model = read_case(name);
      fs::remove_all(folder.path() / "source");
      const Result<void> made = write_rule_model(folder.path() / "source", model.at("config"),
                                                 read_rules(model.at("tensors").as_object()));
      ASSERT_TRUE(made.ok()) << made.error().message;
      written = name;
    }
    compare_conversion(folder.path() / "source", folder.path() / "out", key.substr(key.find(' ') + 1),
                       entry.value().as_object());
    ++num_compared;
  }
  EXPECT_GT(num_compared, 400);
}

// A model that runs is converted like mlx-lm's or not at all.
TEST(Conversions, AreRefusedWhereNothingWasCompared) {
  const json::object expected =
      read_json_object(fs::path(MLXD_SOURCE_DIR) / "tests/parity/conversions.json", 1U << 20U).take_value();
  std::set<std::string> compared;
  for (const auto& entry : expected)
    compared.insert(std::string(entry.key().substr(0, entry.key().find(' '))));
  int num_refused = 0;
  for (const auto& file : fs::directory_iterator(fs::path(MLXD_SOURCE_DIR) / "tests/parity/architectures")) {
    const std::string name = file.path().stem().string();
    // Quantized sources are of types that have been compared unquantized, or not at all.
    if (file.path().extension() != ".json" || compared.contains(name)) continue;
    const bool is_raw = name.ends_with("_raw") && compared.contains(name.substr(0, name.size() - 4));
    const bool is_foreign = read_case(name).at("config").as_object().contains("quantization_config");
    if (name.ends_with("_quantized") || name == "llama_mixed" || is_raw || is_foreign) continue;
    SCOPED_TRACE(name);
    const TemporaryFolder folder;
    const json::object model = read_case(name);
    ASSERT_TRUE(write_rule_model(folder.path() / "source", model.at("config"),
                                 read_rules(model.at("tensors").as_object()))
                    .ok());
    ConvertOptions options = options_of("affine_4_f16");
    options.out = folder.path() / "out";
    const Result<ConvertReport> report = convert_model(folder.path() / "source", options);
    ASSERT_FALSE(report.ok());
    EXPECT_EQ(report.error().kind, ErrorKind::kUnsupported) << report.error().message;
    EXPECT_FALSE(fs::exists(options.out));
    ++num_refused;
  }
  EXPECT_GT(num_refused, 5);
}

}  // namespace
}  // namespace mlxd::testing
