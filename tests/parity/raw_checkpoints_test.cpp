// Checkpoints as they were published, before any conversion: other names and shapes of the same tensors give
// the bits of their twin as MLX has it.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "model/json.h"
#include "model/model_folder.h"
#include "model/testing/rule_model.h"
#include "model/testing/synthetic_model.h"
#include "written_models.h"

namespace mlxd::testing {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

/// A model of architectures/ as MLX has it, and the same tensors as `transform` writes them.
void expect_same_bits_as_transformed(
    const std::string& name, const std::function<std::vector<Tensor>(std::vector<Tensor>)>& transform) {
  TemporaryFolder root;
  const fs::path file = fs::path(MLXD_SOURCE_DIR) / "tests/parity/architectures" / (name + ".json");
  Result<json::object> test = read_json_object(file, 1U << 20U);
  ASSERT_TRUE(test.ok()) << test.error().message;
  ASSERT_TRUE(
      write_rule_model(root.path() / "mlx", test->at("config"), read_rules(test->at("tensors").as_object()))
          .ok());
  std::vector<Tensor> tensors;
  {
    const Result<WeightMap> weights = WeightMap::open(root.path() / "mlx");
    ASSERT_TRUE(weights.ok());
    for (const auto& [key, view] : weights->tensors())
      tensors.push_back({key, view.dtype, view.shape, Bytes(view.data.begin(), view.data.end())});
  }
  write_tensors(root.path() / "raw", test->at("config").as_object(), transform(std::move(tensors)));
  expect_same_bits(root.path() / "raw", root.path() / "mlx");
  // Quantized at load they are the same too.
  expect_same_bits(root.path() / "raw", root.path() / "mlx", Quantization{QuantizationMode::kAffine, 4, 32});
}

TEST(RawCheckpoints, TextModelsBesideATowerGoByTheirNewNames) {
  for (const char* name : {"gemma3", "gemma4", "pixtral", "qwen3_vl", "lfm2_vl"}) {
    SCOPED_TRACE(name);
    expect_same_bits_as_transformed(name, [](std::vector<Tensor> tensors) {
      for (Tensor& tensor : tensors) {
        for (const auto& [from, to] :
             {std::pair<std::string, std::string>{"language_model.model.", "model.language_model."},
              {"language_model.lm_head.", "lm_head."}}) {
          if (tensor.name.starts_with(from)) tensor.name.replace(0, from.size(), to);
        }
      }
      for (const char* tower : {"model.visual.patch_embed.weight", "model.vision_tower.a.weight",
                                "model.multi_modal_projector.b.bias"})
        tensors.push_back(dense(tower, {2, 2}, 0.0F, 1.0F));
      return tensors;
    });
  }
}

/// [experts, in, 2 · out] of gates and ups [experts, out, in] in turns.
Tensor weave(const std::string& name, const Tensor& gate, const Tensor& up) {
  const std::int64_t experts = gate.shape[0];
  const std::int64_t out = gate.shape[1];
  const std::int64_t in = gate.shape.size() == 3 ? gate.shape[2] : 1;
  Tensor woven{name, DType::kF32, {experts, in, 2 * out}, Bytes(gate.data.size() * 2)};
  if (gate.shape.size() == 2) woven.shape = {experts, 2 * out};
  for (std::int64_t e = 0; e < experts; ++e) {
    for (std::int64_t row = 0; row < out; ++row) {
      for (std::int64_t k = 0; k < in; ++k) {
        const auto from = static_cast<std::size_t>((e * out + row) * in + k) * sizeof(float);
        const auto to = static_cast<std::size_t>((e * in + k) * 2 * out + 2 * row) * sizeof(float);
        std::memcpy(woven.data.data() + to, gate.data.data() + from, sizeof(float));
        std::memcpy(woven.data.data() + to + sizeof(float), up.data.data() + from, sizeof(float));
      }
    }
  }
  return woven;
}

TEST(RawCheckpoints, GptOssInFloatsHasInputsBeforeOutputs) {
  expect_same_bits_as_transformed("gpt_oss", [](const std::vector<Tensor>& tensors) {
    std::vector<Tensor> raw;
    const auto find = [&](const std::string& name) {
      return *std::find_if(tensors.begin(), tensors.end(), [&](const Tensor& t) { return t.name == name; });
    };
    for (const Tensor& tensor : tensors) {
      const std::size_t at = tensor.name.find(".experts.");
      if (at == std::string::npos) {
        raw.push_back(tensor);
        continue;
      }
      const std::string stem = tensor.name.substr(0, at + 9);
      const std::string part = tensor.name.substr(at + 9);
      if (part == "gate_proj.weight")
        raw.push_back(weave(stem + "gate_up_proj", tensor, find(stem + "up_proj.weight")));
      if (part == "gate_proj.bias")
        raw.push_back(weave(stem + "gate_up_proj_bias", tensor, find(stem + "up_proj.bias")));
      if (part == "down_proj.bias") {
        raw.push_back(tensor);
        raw.back().name = stem + "down_proj_bias";
      }
      if (part != "down_proj.weight") continue;
      Tensor turned{
          stem + "down_proj", DType::kF32, {tensor.shape[0], tensor.shape[2], tensor.shape[1]}, tensor.data};
      const std::int64_t rows = tensor.shape[1];
      const std::int64_t columns = tensor.shape[2];
      for (std::int64_t i = 0; i < tensor.shape[0] * rows * columns; ++i) {
        const std::int64_t e = i / (rows * columns);
        const std::int64_t to = (e * columns + i % columns) * rows + i / columns % rows;
        std::memcpy(turned.data.data() + static_cast<std::size_t>(to) * sizeof(float),
                    tensor.data.data() + static_cast<std::size_t>(i) * sizeof(float), sizeof(float));
      }
      raw.push_back(std::move(turned));
    }
    return raw;
  });
}

TEST(RawCheckpoints, WithATensorUnderBothNamesAreRefused) {
  TemporaryFolder root;
  std::vector<Tensor> tensors;
  for (const char* name : {"lm_head.weight", "language_model.lm_head.weight"})
    tensors.push_back(dense(name, {2, 2}, 0.0F, 1.0F));
  json::object config{{"model_type", "qwen3_vl"}, {"text_config", base_config()}};
  write_tensors(root.path(), config, tensors);
  const Result<ModelFolder> model = ModelFolder::open(root.path());
  ASSERT_FALSE(model.ok());
  EXPECT_NE(model.error().message.find("are the same part of the model"), std::string::npos)
      << model.error().message;
}
}  // namespace
}  // namespace mlxd::testing
