#include "model/adapter.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <limits>
#include <utility>

#include "model/float_formats.h"
#include "model/model_folder.h"
#include "model/safetensors_writer.h"
#include "model/testing/synthetic_adapter.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using testing::SyntheticAdapterOptions;
using testing::SyntheticModelOptions;
using testing::TensorRule;

class AdapterTest : public ::testing::Test {
 protected:
  void make_model(const SyntheticModelOptions& options = {}) {
    options_ = options;
    ASSERT_TRUE(testing::write_synthetic_model(folder_.path() / "model", options).ok());
    auto model = ModelFolder::open(folder_.path() / "model");
    ASSERT_TRUE(model.ok()) << model.error().message;
    spec_ = model->spec();
  }
  fs::path path() const { return folder_.path() / "adapter"; }

  Result<Adapter> open(const json::object& config, const std::vector<TensorRule>& rules) const {
    testing::write_rule_adapter(path(), config, rules).value();
    return Adapter::open(path(), spec_);
  }
  /// What opening says of a folder that differs from a sound one.
  void expect_refused(ErrorKind kind, const std::string& part, json::object config,
                      const std::vector<TensorRule>& rules) const {
    const auto adapter = open(std::move(config), rules);
    ASSERT_FALSE(adapter.ok()) << part;
    EXPECT_EQ(adapter.error().kind, kind) << adapter.error().message;
    EXPECT_NE(adapter.error().message.find(part), std::string::npos) << adapter.error().message;
    EXPECT_NE(adapter.error().message.find(path().string()), std::string::npos) << adapter.error().message;
    const auto checked = Adapter::check(path(), spec_);
    EXPECT_FALSE(checked.ok());
  }
  json::object config(const SyntheticAdapterOptions& options = {}) const {
    return testing::synthetic_adapter_config(options);
  }
  std::vector<TensorRule> rules(const SyntheticAdapterOptions& options = {}) const {
    return testing::synthetic_adapter_rules(options_, options);
  }

  testing::TemporaryFolder folder_;
  SyntheticModelOptions options_;
  ModelSpec spec_;
};

TEST_F(AdapterTest, reads_pairs_the_way_products_take_them) {
  make_model();
  SyntheticAdapterOptions options;
  options.keys = {"self_attn.v_proj"};
  options.scale = 3.0;
  options.dtype = DType::kF16;
  const auto adapter = open(config(options), rules(options));
  ASSERT_TRUE(adapter.ok()) << adapter.error().message;
  ASSERT_EQ(adapter->modules().size(), 2U);
  const AdaptedModule& module = adapter->modules().at("model.layers.1.self_attn.v_proj");
  EXPECT_EQ(module.rank, 4);
  EXPECT_EQ(module.target.in_features, 64);
  EXPECT_EQ(module.target.out_features, 32);
  EXPECT_FALSE(module.has_magnitude);
  ASSERT_EQ(module.down.size(), 4U * 64U);
  ASSERT_EQ(module.up.size(), 4U * 32U);
  EXPECT_EQ(adapter->num_parameters(), 2 * 4 * (64 + 32));
  // lora_a [in, rank] and lora_b [rank, out], half precision, the scale in the second.
  std::ifstream file(path() / "adapters.safetensors", std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof(header));
  const json::value tensors = json::parse(bytes.substr(8, header));
  const auto value = [&](const char* name, std::size_t index) {
    const auto begin = tensors.at(name).at("data_offsets").at(0).to_number<std::size_t>();
    std::uint16_t half = 0;
    std::memcpy(&half, bytes.data() + 8 + header + begin + 2 * index, sizeof(half));
    return half_to_float(half);
  };
  EXPECT_EQ(module.down[2 * 64 + 5], value("model.layers.1.self_attn.v_proj.lora_a", 5 * 4 + 2));
  EXPECT_EQ(module.up[3 * 32 + 7], 3.0F * value("model.layers.1.self_attn.v_proj.lora_b", 3 * 32 + 7));
  EXPECT_TRUE(Adapter::check(path(), spec_).ok());
}

TEST_F(AdapterTest, takes_dora_with_and_without_magnitudes) {
  make_model({.bits = 0});
  SyntheticAdapterOptions options;
  options.method = "dora";
  std::vector<TensorRule> tensors = rules(options);
  auto adapter = open(config(options), tensors);
  ASSERT_TRUE(adapter.ok()) << adapter.error().message;
  const AdaptedModule& module = adapter->modules().at("model.layers.0.mlp.down_proj");
  EXPECT_TRUE(module.has_magnitude);
  EXPECT_EQ(module.magnitude.size(), 64U);
  std::erase_if(tensors, [](const TensorRule& rule) { return rule.name.ends_with(".m"); });
  adapter = open(config(options), tensors);
  ASSERT_TRUE(adapter.ok()) << adapter.error().message;
  EXPECT_TRUE(adapter->modules().at("model.layers.0.mlp.down_proj").magnitude.empty());
}

TEST_F(AdapterTest, refuses_what_the_configuration_lies_about) {
  make_model();
  const auto with = [&](const char* field, const json::value& value) {
    json::object changed = config();
    changed[field] = value;
    return changed;
  };
  const auto with_parameter = [&](const char* field, const json::value& value) {
    json::object changed = config();
    changed.at("lora_parameters").as_object()[field] = value;
    return changed;
  };
  expect_refused(ErrorKind::kUnsupported, "mlx_lm.fuse", with("fine_tune_type", "full"), rules());
  expect_refused(ErrorKind::kUnsupported, "fine_tune_type", with("fine_tune_type", "vera"), rules());
  expect_refused(ErrorKind::kUnsupported, "PEFT", with("peft_type", "LORA"), rules());
  expect_refused(ErrorKind::kCorruptData, "num_layers", with("num_layers", "all"), rules());
  expect_refused(ErrorKind::kCorruptData, "num_layers", with("num_layers", nullptr), rules());
  expect_refused(ErrorKind::kCorruptData, "lora_parameters", with("lora_parameters", nullptr), rules());
  expect_refused(ErrorKind::kCorruptData, "lora_parameters", with("lora_parameters", 3), rules());
  for (const json::value& rank : {json::value(0), json::value(-4), json::value(1 << 20), json::value(4.5),
                                  json::value("4"), json::value(nullptr)}) {
    expect_refused(ErrorKind::kCorruptData, "lora_parameters.rank", with_parameter("rank", rank), rules());
  }
  for (const json::value& scale : {json::value(1e300), json::value("2"), json::value(nullptr)})
    expect_refused(ErrorKind::kCorruptData, "lora_parameters.scale", with_parameter("scale", scale), rules());
  expect_refused(ErrorKind::kCorruptData, "lora_parameters.keys", with_parameter("keys", "q_proj"), rules());
  expect_refused(ErrorKind::kCorruptData, "lora_parameters.keys", with_parameter("keys", json::array{1}),
                 rules());
  // The rank of the tensors is another one; modules and layers that it does not name.
  expect_refused(ErrorKind::kCorruptData, "make it [128, 8]", with_parameter("rank", 8), rules());
  expect_refused(ErrorKind::kCorruptData, "model.layers.0.mlp.down_proj.lora_a",
                 with_parameter("keys", json::array{"self_attn.q_proj"}), rules({.keys = {"mlp.down_proj"}}));
  expect_refused(ErrorKind::kCorruptData, "model.layers.0", with("num_layers", 1), rules());
  // Without keys all of a layer is meant; a whole name is one, too.
  EXPECT_TRUE(open(with_parameter("keys", nullptr), rules()).ok());
  EXPECT_TRUE(open(with_parameter("keys", json::array{"model.layers.0.mlp.up_proj", "mlp.up_proj"}),
                   rules({.keys = {"mlp.up_proj"}}))
                  .ok());
}

TEST_F(AdapterTest, refuses_tensors_that_are_not_the_models) {
  make_model();
  const auto with = [&](const char* name, const auto& change) {
    std::vector<TensorRule> changed = rules();
    for (TensorRule& rule : changed) {
      if (rule.name == name) change(rule);
    }
    return changed;
  };
  const char* const kQuery = "model.layers.0.self_attn.q_proj.lora_a";
  expect_refused(ErrorKind::kCorruptData, kQuery, config(), with(kQuery, [](TensorRule& rule) {
                   rule.shape = {4, 64};
                 }));
  expect_refused(ErrorKind::kCorruptData, kQuery, config(), with(kQuery, [](TensorRule& rule) {
                   rule.shape = {64, 4, 1};
                 }));
  expect_refused(ErrorKind::kCorruptData, kQuery, config(),
                 with(kQuery, [](TensorRule& rule) { rule.dtype = DType::kU32; }));
  expect_refused(
      ErrorKind::kCorruptData, "model.layers.9.self_attn.q_proj.lora_a", config(),
      with(kQuery, [](TensorRule& rule) { rule.name = "model.layers.9.self_attn.q_proj.lora_a"; }));
  for (const char* name : {"model.norm.lora_a", "lora_a", ".lora_a", "model.layers.0.self_attn.q_proj.weight",
                           "model.layers.0.self_attn.q_proj.lora_c"}) {
    expect_refused(ErrorKind::kCorruptData, name, config(),
                   with(kQuery, [&](TensorRule& rule) { rule.name = name; }));
  }
  // Half a pair, DoRA's magnitudes where there is LoRA, nothing at all.
  std::vector<TensorRule> half = rules();
  std::erase_if(half, [&](const TensorRule& rule) { return rule.name == kQuery; });
  expect_refused(ErrorKind::kCorruptData, kQuery, config(), half);
  expect_refused(ErrorKind::kCorruptData, ".m belongs to DoRA", config(), rules({.method = "dora"}));
  expect_refused(ErrorKind::kCorruptData, "no tensors", config(), {});
}

TEST_F(AdapterTest, refuses_numbers_that_are_none) {
  make_model();
  SyntheticAdapterOptions options;
  options.keys = {"mlp.up_proj"};
  ASSERT_TRUE(open(config(options), rules(options)).ok());
  const fs::path file = path() / "adapters.safetensors";
  std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
  out.seekp(-4, std::ios::end);
  const float infinity = std::numeric_limits<float>::infinity();
  out.write(reinterpret_cast<const char*>(&infinity), sizeof(infinity));
  out.close();
  const auto adapter = Adapter::open(path(), spec_);
  ASSERT_FALSE(adapter.ok());
  EXPECT_EQ(adapter.error().kind, ErrorKind::kCorruptData);
  EXPECT_NE(adapter.error().message.find("mlp.up_proj.lora_b contains NaN or infinity"), std::string::npos)
      << adapter.error().message;
  EXPECT_TRUE(Adapter::check(path(), spec_).ok());  // which reads no numbers
}

TEST_F(AdapterTest, refuses_folders_that_are_none) {
  make_model();
  auto adapter = Adapter::open(folder_.path() / "nowhere", spec_);
  ASSERT_FALSE(adapter.ok());
  EXPECT_EQ(adapter.error().kind, ErrorKind::kNotFound);
  adapter = Adapter::open(folder_.path() / "model", spec_);
  ASSERT_FALSE(adapter.ok());
  EXPECT_EQ(adapter.error().kind, ErrorKind::kNotFound);
  EXPECT_NE(adapter.error().message.find("adapter_config.json"), std::string::npos);
  ASSERT_TRUE(open(config(), rules()).ok());
  fs::resize_file(path() / "adapters.safetensors", 100);
  EXPECT_FALSE(Adapter::open(path(), spec_).ok());
  fs::remove(path() / "adapters.safetensors");
  EXPECT_EQ(Adapter::open(path(), spec_).error().kind, ErrorKind::kNotFound);
}

TEST_F(AdapterTest, takes_embeddings_by_their_whole_name_and_refuses_dora_of_quantized_ones) {
  make_model();
  SyntheticAdapterOptions options;
  options.keys = {"model.embed_tokens"};
  const auto embedding = [](DType dtype, bool dora) {
    std::vector<TensorRule> tensors = {{"model.embed_tokens.lora_a", dtype, {320, 4}, -0.5, 0.5},
                                       {"model.embed_tokens.lora_b", dtype, {4, 64}, -0.5, 0.5}};
    if (dora) tensors.push_back({"model.embed_tokens.m", dtype, {320}, 0.5, 1.5});
    return tensors;
  };
  const auto adapter = open(config(options), embedding(DType::kF32, false));
  ASSERT_TRUE(adapter.ok()) << adapter.error().message;
  const AdaptedModule& module = adapter->modules().at("model.embed_tokens");
  EXPECT_EQ(module.down.size(), 4U * 64U);
  EXPECT_EQ(module.up.size(), 4U * 320U);
  options.method = "dora";
  expect_refused(ErrorKind::kUnsupported, "model.embed_tokens", config(options),
                 embedding(DType::kF32, true));
  make_model({.bits = 0});
  EXPECT_TRUE(open(config(options), embedding(DType::kF32, true)).ok());
}

}  // namespace
}  // namespace mlxd
