#include "workbench/import_gguf.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <random>

#include "model/float_formats.h"
#include "model/json.h"
#include "model/model_folder.h"
#include "model/testing/gguf_builder.h"
#include "model/testing/synthetic_model.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using testing::GgufBuilder;
using testing::make_tiny_gguf;
using testing::TemporaryFolder;
using testing::TinyGguf;

std::uint32_t number(GgufType type) { return static_cast<std::uint32_t>(type); }

float read_float(const TensorView& tensor, std::size_t index) {
  if (tensor.dtype == DType::kF32) {
    float value = 0;
    std::memcpy(&value, tensor.data.data() + 4 * index, 4);
    return value;
  }
  std::uint16_t bits = 0;
  std::memcpy(&bits, tensor.data.data() + 2 * index, 2);
  return tensor.dtype == DType::kF16 ? half_to_float(bits) : bfloat16_to_float(bits);
}

// The values of a linear layer as its spec and tensors define them.
std::vector<float> values_of(const ModelFolder& model, const LinearSpec& linear) {
  const TensorView& weight = *model.weights().find(linear.name + ".weight");
  const auto rows = static_cast<std::size_t>(linear.out_features);
  const auto columns = static_cast<std::size_t>(linear.in_features);
  std::vector<float> values(rows * columns);
  if (linear.quantization.mode == QuantizationMode::kNone) {
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = read_float(weight, i);
    return values;
  }
  const TensorView& scales = *model.weights().find(linear.name + ".scales");
  const TensorView& biases = *model.weights().find(linear.name + ".biases");
  const auto bits = static_cast<std::size_t>(linear.quantization.bits);
  const auto group_size = static_cast<std::size_t>(linear.quantization.group_size);
  for (std::size_t i = 0; i < values.size(); ++i) {
    unsigned code = 0;
    for (std::size_t bit = 0; bit < bits; ++bit) {
      // Rows are whole words, so the bit string of a row continues into the next.
      const std::size_t at = i * bits + bit;
      code |= ((std::to_integer<unsigned>(weight.data[at / 8]) >> (at % 8)) & 1U) << bit;
    }
    values[i] =
        static_cast<float>(code) * read_float(scales, i / group_size) + read_float(biases, i / group_size);
  }
  return values;
}

// From GGUF's interleaved rotary rows to Hugging Face's halves, written as the definition says.
std::vector<float> uninterleave(const std::vector<float>& values, std::size_t columns, std::size_t head_dim) {
  std::vector<float> out(values.size());
  for (std::size_t row = 0; row < values.size() / columns; ++row) {
    const std::size_t head = row / head_dim;
    const std::size_t pair = row % head_dim / 2;
    const std::size_t target = head * head_dim + pair + (row % 2) * head_dim / 2;
    std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(row * columns), columns,
                out.begin() + static_cast<std::ptrdiff_t>(target * columns));
  }
  return out;
}

class ImportTest : public ::testing::Test {
 protected:
  Result<ImportReport> import(const GgufBuilder& builder, const std::string& name = "tiny",
                              bool overwrite = false) {
    const fs::path file = folder_.path() / "source.gguf";
    builder.write(file);
    ImportOptions options;
    options.name = name;
    options.models_folder = models();
    options.overwrite = overwrite;
    return import_gguf(file, options);
  }
  void refuses(const GgufBuilder& builder, const std::string& expected, ErrorKind kind) {
    const auto report = import(builder);
    ASSERT_FALSE(report.ok()) << expected;
    EXPECT_EQ(report.error().kind, kind) << report.error().message;
    EXPECT_NE(report.error().message.find(expected), std::string::npos) << report.error().message;
    EXPECT_NE(report.error().message.find("source.gguf"), std::string::npos) << report.error().message;
    EXPECT_TRUE(leftovers().empty()) << leftovers();
  }
  std::string leftovers() const {
    std::string names;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(models(), none))
      names += entry.path().filename().string() + " ";
    return names;
  }
  fs::path models() const { return folder_.path() / "models"; }
  json::object read(const char* file) const {
    return read_json_object(models() / "tiny" / file, 1U << 22U).take_value();
  }

  TemporaryFolder folder_;
};

struct Expected {
  std::int32_t bits = 0;
  /// Of the largest magnitude in its row, by which a value may be off.
  float tolerance = 0.0F;
};

// Half a unit in the last place of F16 for scale and offset each, of codes that reach 15 or 31 times a step:
// at most 2^-9 of the largest value. Codes made anew are off by half a step, which is less than twice the
// least that spans the values.
const std::map<GgufType, Expected> kTypes = {
    {GgufType::kF32, {0}},
    {GgufType::kF16, {0}},
    {GgufType::kBF16, {0}},
    {GgufType::kQ4_0, {4}},
    {GgufType::kQ4_1, {4}},
    {GgufType::kQ5_0, {5}},
    {GgufType::kQ5_1, {5}},
    {GgufType::kQ8_0, {8}},
    {GgufType::kIQ4_NL, {8}},
    {GgufType::kIQ4_XS, {8, 0x1p-9F}},
    {GgufType::kQ4_K, {4, 0x1p-9F}},
    {GgufType::kQ5_K, {5, 0x1p-9F}},
    {GgufType::kQ2_K, {4, 0x1p-9F + 2.0F / 14.0F}},
    {GgufType::kQ3_K, {5, 0x1p-9F + 2.0F / 30.0F}},
    {GgufType::kQ6_K, {8, 0x1p-9F + 2.0F / 254.0F}},
};

void expect_rows_near(const std::vector<float>& actual, const std::vector<float>& expected,
                      std::size_t columns, float tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t row = 0; row < expected.size() / columns; ++row) {
    float largest = 0.0F;
    float difference = 0.0F;
    for (std::size_t i = row * columns; i < (row + 1) * columns; ++i) {
      largest = std::max(largest, std::abs(expected[i]));
      difference = std::max(difference, std::abs(actual[i] - expected[i]));
    }
    ASSERT_LE(difference, tolerance * largest) << "row " << row;
  }
}

TEST_F(ImportTest, every_type_keeps_every_value) {
  for (const auto& entry : kTypes) {
    const GgufType type = entry.first;
    const Expected wanted = entry.second;
    SCOPED_TRACE(gguf_type_name(number(type)));
    const bool wide = block_of(type).elements == 256;
    const TinyGguf tiny = make_tiny_gguf(type, {.tied = false, .biases = true, .wide = wide});
    const auto report = import(tiny.builder, "tiny", true);
    ASSERT_TRUE(report.ok()) << report.error().message;
    const auto model = ModelFolder::open(report->folder);
    ASSERT_TRUE(model.ok()) << model.error().message;
    const GgufFile source = GgufFile::open(folder_.path() / "source.gguf").take_value();
    const auto check = [&](const std::string& gguf_name, const LinearSpec& linear,
                           std::size_t rotary_head_dim) {
      SCOPED_TRACE(gguf_name);
      EXPECT_EQ(linear.quantization.bits, wanted.bits);
      const auto& data = source.find_tensor(gguf_name + ".weight")->data;
      std::vector<float> expected = testing::dequantize_blocks(type, {data.begin(), data.end()});
      const auto columns = static_cast<std::size_t>(linear.in_features);
      if (rotary_head_dim > 0) expected = uninterleave(expected, columns, rotary_head_dim);
      expect_rows_near(values_of(*model, linear), expected, columns, wanted.tolerance);
      if (!linear.has_bias) return;
      const auto& bias_data = source.find_tensor(gguf_name + ".bias")->data;
      std::vector<float> bias =
          testing::dequantize_blocks(GgufType::kF32, {bias_data.begin(), bias_data.end()});
      if (rotary_head_dim > 0) bias = uninterleave(bias, 1, rotary_head_dim);
      const TensorView& stored = *model->weights().find(linear.name + ".bias");
      for (std::size_t i = 0; i < bias.size(); ++i) EXPECT_EQ(read_float(stored, i), bias[i]);
    };
    const auto head_dim = static_cast<std::size_t>(tiny.head_dim);
    check("token_embd", model->spec().embedding, 0);
    check("output", model->spec().lm_head, 0);
    for (std::size_t i = 0; i < model->spec().layers.size(); ++i) {
      const LayerSpec& layer = model->spec().layers[i];
      const std::string block = "blk." + std::to_string(i) + ".";
      ASSERT_TRUE(layer.attention->q_proj.has_bias && layer.mlp->up_proj.has_bias);
      check(block + "attn_q", layer.attention->q_proj, head_dim);
      check(block + "attn_k", *layer.attention->k_proj, head_dim);
      check(block + "attn_v", *layer.attention->v_proj, 0);
      check(block + "attn_output", layer.attention->o_proj, 0);
      check(block + "ffn_gate", *layer.mlp->gate_proj, 0);
      check(block + "ffn_up", layer.mlp->up_proj, 0);
      check(block + "ffn_down", layer.mlp->down_proj, 0);
    }
  }
}

TEST_F(ImportTest, the_report_tells_each_tensors_fate_and_the_largest_error) {
  TinyGguf tiny = make_tiny_gguf(GgufType::kQ4_K, {.wide = true});
  const auto replace = [&](const char* name, GgufType type, std::vector<std::int64_t> shape) {
    tiny.builder.remove_tensor(name);
    const std::vector<std::byte> data = testing::random_blocks(type, shape[0] * shape[1], 11);
    tiny.builder.add_tensor(name, number(type), shape, data);
  };
  replace("token_embd.weight", GgufType::kQ8_0, {260, 256});
  replace("blk.0.ffn_down.weight", GgufType::kQ6_K, {256, 512});
  replace("blk.1.ffn_down.weight", GgufType::kQ6_K, {256, 512});
  const auto report = import(tiny.builder);
  ASSERT_TRUE(report.ok()) << report.error().message;
  ASSERT_EQ(report->tensors.size(), 20U);
  const auto tensor = [&](const std::string& name) {
    return *std::find_if(report->tensors.begin(), report->tensors.end(),
                         [&](const ImportedTensor& t) { return t.gguf_name == name; });
  };
  EXPECT_EQ(tensor("token_embd.weight").storage, "8 bits, F16 scales");
  EXPECT_EQ(tensor("token_embd.weight").largest_error, 0.0);
  EXPECT_TRUE(tensor("blk.0.attn_q.weight").keeps_codes);
  EXPECT_GT(tensor("blk.0.attn_q.weight").largest_error, 0.0);
  EXPECT_FALSE(tensor("blk.0.ffn_down.weight").keeps_codes);
  EXPECT_EQ(tensor("output_norm.weight").storage, "F32");

  // The error is that of the values read back.
  const auto model = ModelFolder::open(report->folder);
  ASSERT_TRUE(model.ok()) << model.error().message;
  const std::vector<float> actual = values_of(*model, model->spec().layers[0].mlp->down_proj);
  const std::vector<float> expected =
      testing::dequantize_blocks(GgufType::kQ6_K, testing::random_blocks(GgufType::kQ6_K, 256 * 512, 11));
  double error = 0.0;
  for (std::size_t row = 0; row < 256; ++row) {
    float largest = 0.0F;
    float difference = 0.0F;
    for (std::size_t i = row * 512; i < (row + 1) * 512; ++i) {
      largest = std::max(largest, std::abs(expected[i]));
      difference = std::max(difference, std::abs(actual[i] - expected[i]));
    }
    error = std::max(error, static_cast<double>(difference) / static_cast<double>(largest));
  }
  EXPECT_NEAR(tensor("blk.0.ffn_down.weight").largest_error, error, 1e-6);

  const std::vector<std::string> lines = describe_tensors(report->tensors);
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[0], "5 tensors of type F32: as they are");
  EXPECT_EQ(lines[1].find("12 tensors of type Q4_K: 4 bits, F16 scales, the same codes; off by at most "), 0U)
      << lines[1];
  EXPECT_EQ(lines[2].find("2 tensors of type Q6_K: 8 bits, F16 scales, quantized again; off by at most "), 0U)
      << lines[2];
  EXPECT_EQ(lines[3], "1 tensor of type Q8_0: 8 bits, F16 scales, exactly the same values");
}

TEST_F(ImportTest, rebuilds_the_configuration) {
  const auto report = import(make_tiny_gguf(GgufType::kQ4_0).builder);
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(report->storage, "4 bits");
  EXPECT_EQ(report->name, "tiny");
  EXPECT_TRUE(report->notes.empty());
  const json::object config = read("config.json");
  const auto check = [&](const char* key, const json::value& expected) {
    EXPECT_EQ(config.at(key), expected) << key;
  };
  check("model_type", "llama");
  check("hidden_size", 64);
  check("intermediate_size", 96);
  check("num_key_value_heads", 2);
  check("head_dim", 16);
  check("rope_theta", 500000);
  check("rms_norm_eps", 1e-5);
  check("max_position_embeddings", 512);
  check("vocab_size", 260);
  check("tie_word_embeddings", true);
  check("rope_scaling", nullptr);
  check("eos_token_id", 2);
  check("quantization", {{"group_size", 32}, {"bits", 4}, {"mode", "affine"}});
  EXPECT_EQ(read("generation_config.json").at("eos_token_id"), 2);
  EXPECT_EQ(read("tokenizer_config.json").at("chat_template"), "{{ messages[0]['content'] }}");
  EXPECT_EQ(read("tokenizer_config.json").at("eos_token"), "<|special_2|>");
}

// config.json as the architecture's own has it, and tensors under the names of the Hugging Face checkpoint.
TEST_F(ImportTest, every_architecture_gets_its_configuration_and_names) {
  struct Case {
    const char* architecture;
    const char* config;                        // what it must contain
    std::map<std::string, std::string> names;  // some of the tensors
    std::vector<const char*> absent = {};      // from config.json
  };
  const std::vector<Case> cases = {
      {"qwen2",
       R"({"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "num_key_value_heads": 2,
           "head_dim": 16, "rope_theta": 500000, "rope_scaling": null, "hidden_act": "silu"})",
       {{"blk.1.attn_q.bias", "model.layers.1.self_attn.q_proj.bias"},
        {"blk.1.attn_k.weight", "model.layers.1.self_attn.k_proj.weight"},
        {"blk.0.attn_v.bias", "model.layers.0.self_attn.v_proj.bias"},
        {"blk.1.ffn_norm.weight", "model.layers.1.post_attention_layernorm.weight"}}},
      {"qwen3",
       R"({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "head_dim": 16,
           "attention_bias": false, "tie_word_embeddings": true})",
       {{"blk.1.attn_q_norm.weight", "model.layers.1.self_attn.q_norm.weight"},
        {"blk.0.attn_k_norm.weight", "model.layers.0.self_attn.k_norm.weight"},
        {"blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj.weight"}}},
      {"gemma3",
       R"({"model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"], "head_dim": 16,
           "query_pre_attn_scalar": 16, "sliding_window": 32, "sliding_window_pattern": 6,
           "rope_local_base_freq": 10000, "rope_theta": 500000, "hidden_activation": "gelu_pytorch_tanh"})",
       {{"blk.1.attn_q.weight", "model.layers.1.self_attn.q_proj.weight"},
        {"blk.1.ffn_down.weight", "model.layers.1.mlp.down_proj.weight"}},
       {"hidden_act"}},
      {"phi3",
       R"({"model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "partial_rotary_factor": 1,
           "hidden_act": "silu"})",
       {{"blk.0.attn_qkv.weight", "model.layers.0.self_attn.qkv_proj.weight"},
        {"blk.1.ffn_up.weight", "model.layers.1.mlp.gate_up_proj.weight"}},
       {"sliding_window", "original_max_position_embeddings"}},
  };
  for (const Case& tested : cases) {
    SCOPED_TRACE(tested.architecture);
    const TinyGguf tiny = make_tiny_gguf(GgufType::kF32, {.architecture = tested.architecture});
    const auto report = import(tiny.builder, "tiny", true);
    ASSERT_TRUE(report.ok()) << report.error().message;
    const json::object config = read("config.json");
    const json::value expected = parse_json(tested.config, "expected").take_value();
    for (const auto& [key, value] : expected.as_object()) EXPECT_EQ(config.at(key), value) << key;
    for (const char* key : tested.absent) EXPECT_FALSE(config.contains(key)) << key;
    const auto model = ModelFolder::open(report->folder);
    ASSERT_TRUE(model.ok()) << model.error().message;
    const GgufFile source = GgufFile::open(folder_.path() / "source.gguf").take_value();
    EXPECT_EQ(report->tensors.size(), source.tensors().size());
    for (const auto& [from, to] : tested.names) {
      const TensorView* stored = model->weights().find(to);
      ASSERT_NE(stored, nullptr) << to;
      const auto& data = source.find_tensor(from)->data;
      EXPECT_TRUE(std::equal(data.begin(), data.end(), stored->data.begin(), stored->data.end())) << from;
    }
  }
}

TEST_F(ImportTest, norms_of_gemma_lose_the_one_that_the_file_adds) {
  const auto report = import(make_tiny_gguf(GgufType::kF32, {.architecture = "gemma3"}).builder);
  ASSERT_TRUE(report.ok()) << report.error().message;
  const auto model = ModelFolder::open(report->folder);
  ASSERT_TRUE(model.ok()) << model.error().message;
  const GgufFile source = GgufFile::open(folder_.path() / "source.gguf").take_value();
  const std::map<std::string, std::string> norms = {
      {"blk.1.attn_norm", "model.layers.1.input_layernorm"},
      {"blk.1.post_attention_norm", "model.layers.1.post_attention_layernorm"},
      {"blk.1.ffn_norm", "model.layers.1.pre_feedforward_layernorm"},
      {"blk.1.post_ffw_norm", "model.layers.1.post_feedforward_layernorm"},
      {"blk.0.attn_q_norm", "model.layers.0.self_attn.q_norm"},
      {"blk.0.attn_k_norm", "model.layers.0.self_attn.k_norm"},
      {"output_norm", "model.norm"}};
  for (const auto& [from, to] : norms) {
    const auto& data = source.find_tensor(from + ".weight")->data;
    const std::vector<float> given = testing::dequantize_blocks(GgufType::kF32, {data.begin(), data.end()});
    const TensorView* stored = model->weights().find(to + ".weight");
    ASSERT_NE(stored, nullptr) << to;
    for (std::size_t i = 0; i < given.size(); ++i) ASSERT_EQ(read_float(*stored, i), given[i] - 1.0F) << to;
  }
}

TEST_F(ImportTest, gemmas_windows_and_rotations_are_those_of_the_file) {
  TinyGguf tiny = make_tiny_gguf(GgufType::kF32, {.architecture = "gemma3"});
  GgufBuilder& b = tiny.builder;
  b.add_u32("gemma3.attention.sliding_window_pattern", 2);
  b.add_f32("gemma3.rope.freq_base_swa", 20000.0F);
  b.add_string("gemma3.rope.scaling.type", "linear");
  b.add_f32("gemma3.rope.scaling.factor", 8.0F);
  ASSERT_TRUE(import(b).ok());
  const json::object config = read("config.json");
  EXPECT_EQ(config.at("sliding_window_pattern"), 2);
  EXPECT_EQ(config.at("rope_local_base_freq"), 20000);
  EXPECT_EQ(config.at("rope_scaling"),
            (json::value{{"type", "linear"}, {"rope_type", "linear"}, {"factor", 8}}));
  // Without a window every layer sees everything and rotates as the file says.
  b.remove("gemma3.attention.sliding_window");
  ASSERT_TRUE(import(b, "tiny", true).ok());
  EXPECT_EQ(read("config.json").at("sliding_window_pattern"), 1);
}

TEST_F(ImportTest, phis_factors_for_long_contexts_become_longrope) {
  TinyGguf tiny = make_tiny_gguf(GgufType::kF32, {.architecture = "phi3"});
  GgufBuilder& b = tiny.builder;
  const auto add = [&](const char* name, float first) {
    std::vector<float> factors;
    for (int i = 0; i < 6; ++i) factors.push_back(first + 0.1F * static_cast<float>(i));
    const auto* bytes = reinterpret_cast<const std::byte*>(factors.data());
    b.add_tensor(name, 0, {6}, {bytes, bytes + 24});
  };
  b.remove("phi3.rope.dimension_count");
  b.add_u32("phi3.rope.dimension_count", 12);
  add("rope_factors_long.weight", 4.0F);
  add("rope_factors_short.weight", 1.0F);
  b.add_u32("phi3.attention.sliding_window", 100);
  refuses(b, "phi3.rope.scaling.original_context_length is missing", ErrorKind::kCorruptData);
  b.add_u32("phi3.rope.scaling.original_context_length", 128);
  const auto report = import(b);
  ASSERT_TRUE(report.ok()) << report.error().message;
  const json::object config = read("config.json");
  EXPECT_EQ(config.at("rope_scaling").at("type"), "longrope");
  EXPECT_EQ(config.at("rope_scaling").at("long_factor"), (json::value{4.0, 4.1, 4.2, 4.3, 4.4, 4.5}));
  EXPECT_EQ(config.at("rope_scaling").at("short_factor").at(5), 1.5);
  EXPECT_EQ(config.at("original_max_position_embeddings"), 128);
  EXPECT_EQ(config.at("partial_rotary_factor"), 0.75);
  EXPECT_EQ(config.at("sliding_window"), 100);
  fs::remove_all(models());
  b.add_f32("phi3.rope.scaling.attn_factor", 1.5F);  // √(1 + ln(512 / 128) / ln 128) = 1.1339
  refuses(b, "phi3.rope.scaling.attn_factor other than", ErrorKind::kUnsupported);
  b.remove("phi3.rope.scaling.attn_factor");
  b.remove_tensor("rope_factors_short.weight");
  refuses(b, "tensor rope_factors_short.weight: must be F32 [6]", ErrorKind::kCorruptData);
}

TEST_F(ImportTest, yarn_keeps_its_parameters) {
  TinyGguf tiny = make_tiny_gguf(GgufType::kF32, {.architecture = "qwen3"});
  GgufBuilder& b = tiny.builder;
  b.add_string("qwen3.rope.scaling.type", "yarn");
  b.add_f32("qwen3.rope.scaling.factor", 4.0F);
  b.add_u32("qwen3.rope.scaling.original_context_length", 128);
  b.add_f32("qwen3.rope.scaling.yarn_beta_fast", 16.0F);
  ASSERT_TRUE(import(b).ok());
  EXPECT_EQ(read("config.json").at("rope_scaling"), (json::value{{"type", "yarn"},
                                                                 {"rope_type", "yarn"},
                                                                 {"factor", 4},
                                                                 {"original_max_position_embeddings", 128},
                                                                 {"beta_fast", 16}}));
}

TEST_F(ImportTest, what_an_architecture_does_not_have_is_refused_by_name) {
  const auto with = [](const char* architecture, const auto& change) {
    TinyGguf tiny = make_tiny_gguf(GgufType::kF32, {.architecture = architecture});
    change(tiny.builder);
    return tiny.builder;
  };
  const std::vector<std::byte> zeros(64);
  refuses(with("qwen2", [](auto& b) { b.remove_tensor("blk.1.attn_k.bias"); }),
          "tensor blk.1.attn_k.bias is missing", ErrorKind::kCorruptData);
  refuses(with("qwen2", [&](auto& b) { b.add_tensor("blk.0.attn_q_norm.weight", 0, {16}, zeros); }),
          "tensor blk.0.attn_q_norm.weight is not part of a qwen2 model", ErrorKind::kUnsupported);
  refuses(with("qwen3", [](auto& b) { b.remove_tensor("blk.0.attn_q_norm.weight"); }),
          "tensor blk.0.attn_q_norm.weight is missing", ErrorKind::kCorruptData);
  refuses(with("gemma3", [](auto& b) { b.remove_tensor("blk.0.post_ffw_norm.weight"); }),
          "tensor blk.0.post_ffw_norm.weight is missing", ErrorKind::kCorruptData);
  refuses(with("gemma3", [](auto& b) { b.add_f32("gemma3.final_logit_softcapping", 30.0F); }),
          "a cap on logits (gemma3.final_logit_softcapping)", ErrorKind::kUnsupported);
  refuses(with("gemma3", [](auto& b) { b.add_u32("gemma3.attention.sliding_window_pattern", 0); }),
          "gemma3.attention.sliding_window_pattern must be", ErrorKind::kCorruptData);
  refuses(with("gemma3",
               [&](auto& b) {
                 b.remove_tensor("output_norm.weight");
                 b.add_tensor("output_norm.weight", 1, {64}, std::vector<std::byte>(128));
               }),
          "tensor output_norm.weight: norms of this architecture must be F32", ErrorKind::kUnsupported);
  refuses(with("phi3",
               [&](auto& b) {
                 b.remove_tensor("blk.0.attn_qkv.weight");
                 b.add_tensor("blk.0.attn_qkv.weight", 0, {64, 64}, std::vector<std::byte>(64 * 64 * 4));
               }),
          "tensor blk.0.attn_qkv.weight: is [64, 64], but the metadata says [128, 64]",
          ErrorKind::kCorruptData);
}

TEST_F(ImportTest, mixed_types_get_an_entry_for_each_module_that_differs) {
  TinyGguf tiny = make_tiny_gguf(GgufType::kQ4_1);
  tiny.builder.remove_tensor("token_embd.weight");
  tiny.builder.add_tensor("token_embd.weight", number(GgufType::kQ8_0), {260, 64},
                          testing::random_blocks(GgufType::kQ8_0, 260 * 64, 5));
  tiny.builder.remove_tensor("blk.1.ffn_up.weight");
  tiny.builder.add_tensor("blk.1.ffn_up.weight", number(GgufType::kF16), {96, 64},
                          testing::random_blocks(GgufType::kF32, 96 * 32, 6));
  const auto report = import(tiny.builder);
  ASSERT_TRUE(report.ok()) << report.error().message;
  const json::value expected = {{"group_size", 32}, {"bits", 8}};
  EXPECT_EQ(read("config.json").at("quantization").at("model.embed_tokens"), expected);
  const auto model = ModelFolder::open(report->folder);
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->spec().lm_head.quantization.bits, 8);
  EXPECT_EQ(model->spec().layers[0].mlp->up_proj.quantization.bits, 4);
  EXPECT_EQ(model->spec().layers[1].mlp->up_proj.quantization.mode, QuantizationMode::kNone);
}

// 128 * 1000 is beyond half precision, where the scale itself is not.
TEST_F(ImportTest, offsets_too_large_for_half_precision_are_kept_in_single) {
  TinyGguf tiny = make_tiny_gguf(GgufType::kQ8_0);
  std::vector<std::byte> data = testing::random_blocks(GgufType::kQ8_0, 64 * 64, 9);
  const std::uint16_t scale = float_to_half(-1000.0F);
  std::memcpy(data.data() + 34, &scale, 2);
  tiny.builder.remove_tensor("blk.0.attn_output.weight");
  tiny.builder.add_tensor("blk.0.attn_output.weight", number(GgufType::kQ8_0), {64, 64}, data);
  const auto report = import(tiny.builder);
  ASSERT_TRUE(report.ok()) << report.error().message;
  const std::vector<std::string> lines = describe_tensors(report->tensors);
  EXPECT_EQ(lines[2], "1 tensor of type Q8_0: 8 bits, F32 scales, exactly the same values");
  const auto model = ModelFolder::open(report->folder);
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(values_of(*model, model->spec().layers[0].attention->o_proj),
            testing::dequantize_blocks(GgufType::kQ8_0, data));
}

// Steps below half precision's normal numbers would lose most of their bits.
TEST_F(ImportTest, scales_too_small_for_half_precision_are_kept_in_single) {
  for (const GgufType type : {GgufType::kQ4_K, GgufType::kQ6_K, GgufType::kQ2_K}) {
    SCOPED_TRACE(gguf_type_name(number(type)));
    TinyGguf tiny = make_tiny_gguf(GgufType::kF32, {.wide = true});
    std::vector<std::byte> data = testing::random_blocks(type, 256 * 256, 9);
    // The smallest number that is not zero, for every scale of every block.
    const std::size_t block_bytes = data.size() / 256;
    const std::uint16_t least = 1;
    for (std::size_t at = 0; at < data.size(); at += block_bytes) {
      if (type == GgufType::kQ6_K) {
        std::memcpy(data.data() + at + 208, &least, 2);
      } else {
        const std::size_t first = type == GgufType::kQ2_K ? 80 : 0;
        std::memcpy(data.data() + at + first, &least, 2);
        std::memcpy(data.data() + at + first + 2, &least, 2);
      }
    }
    tiny.builder.remove_tensor("blk.0.attn_output.weight");
    tiny.builder.add_tensor("blk.0.attn_output.weight", number(type), {256, 256}, data);
    const auto report = import(tiny.builder, "tiny", true);
    ASSERT_TRUE(report.ok()) << report.error().message;
    const auto model = ModelFolder::open(report->folder);
    ASSERT_TRUE(model.ok());
    const LinearSpec& linear = model->spec().layers[0].attention->o_proj;
    const bool keeps_codes = type == GgufType::kQ4_K;
    if (!keeps_codes) {
      EXPECT_EQ(model->weights().find(linear.name + ".scales")->dtype, DType::kF32);
    }
    expect_rows_near(values_of(*model, linear), testing::dequantize_blocks(type, data), 256,
                     kTypes.at(type).tolerance);
  }
}

TEST_F(ImportTest, recovers_llama3_rope_scaling_from_its_factors) {
  // 1 / (mlx-lm's frequency times its unscaled period) for head size 16, theta 500000, factor 32.
  const auto make = [](float middle) {
    TinyGguf tiny = make_tiny_gguf(GgufType::kQ4_0);
    const std::vector<float> factors = {1, 1, 1, 1, middle, 32, 32, 32};
    const auto* bytes = reinterpret_cast<const std::byte*>(factors.data());
    tiny.builder.add_tensor("rope_freqs.weight", 0, {8}, {bytes, bytes + 32});
    return tiny;
  };
  // theta^(8/16) * 2π = 4442.9; smooth = (8192 / 4442.9 - 1) / 3 = 0.28129…
  const double wavelength = 2 * 3.14159265358979323846 * std::sqrt(500000.0);
  const double smooth = (8192 / wavelength - 1) / 3;
  const auto right = static_cast<float>(1 / ((1 - smooth) / 32 + smooth));
  const auto report = import(make(right).builder);
  ASSERT_TRUE(report.ok()) << report.error().message;
  const json::object config = read("config.json");
  EXPECT_EQ(config.at("rope_scaling").at("rope_type"), "llama3");
  EXPECT_EQ(config.at("rope_scaling").at("factor"), 32);
  fs::remove_all(models());
  refuses(make(2.0F).builder, "rope_freqs.weight: a frequency scaling other than Llama 3's",
          ErrorKind::kUnsupported);
}

TEST_F(ImportTest, what_it_cannot_keep_is_refused_by_name_and_leaves_nothing) {
  const auto with = [](const auto& change) {
    TinyGguf tiny = make_tiny_gguf(GgufType::kQ4_0);
    change(tiny.builder);
    return tiny.builder;
  };
  const auto unsupported = ErrorKind::kUnsupported;
  const auto corrupt = ErrorKind::kCorruptData;
  const auto set = [](GgufBuilder& b, const char* key, std::uint32_t value) {
    b.remove(key);
    b.add_u32(key, value);
  };
  const auto set_string = [](GgufBuilder& b, const char* key, const char* value) {
    b.remove(key);
    b.add_string(key, value);
  };
  refuses(with([&](auto& b) { set_string(b, "general.architecture", "mamba"); }),
          "architecture mamba (llama,", unsupported);
  refuses(with([&](auto& b) { b.remove("general.architecture"); }), "general.architecture is missing",
          corrupt);
  refuses(with([&](auto& b) { set(b, "llama.expert_count", 8); }), "a mixture of experts", unsupported);
  refuses(with([&](auto& b) { set_string(b, "llama.rope.scaling.type", "mystery"); }),
          "rope scaling of type mystery", unsupported);
  refuses(with([&](auto& b) { set_string(b, "llama.rope.scaling.type", "yarn"); }),
          "llama.rope.scaling.factor is missing", corrupt);
  refuses(with([&](auto& b) {
            set_string(b, "llama.rope.scaling.type", "yarn");
            b.add_f32("llama.rope.scaling.yarn_ext_factor", 0.5F);
          }),
          "llama.rope.scaling.yarn_ext_factor is not supported", unsupported);
  refuses(with([&](auto& b) { b.add_f32("llama.final_logit_softcapping", 30.0F); }), "a cap on logits",
          unsupported);
  refuses(with([&](auto& b) { set(b, "llama.attention.sliding_window", 64); }), "a sliding window",
          unsupported);
  refuses(with([&](auto& b) { set(b, "llama.rope.dimension_count", 8); }),
          "a rotation of 8 of a head's 16 elements", unsupported);
  refuses(with([&](auto& b) { set(b, "llama.attention.value_length", 32); }),
          "a head whose keys and values differ", unsupported);
  refuses(with([&](auto& b) { set(b, "llama.block_count", 3); }), "tensor blk.2.attn_norm.weight is missing",
          corrupt);
  refuses(with([&](auto& b) { set(b, "llama.block_count", 4000000000U); }),
          "llama.block_count must be an integer", corrupt);
  refuses(with([&](auto& b) { set(b, "llama.attention.head_count", 0); }),
          "llama.attention.head_count must be", corrupt);
  refuses(with([&](auto& b) { b.remove_tensor("blk.1.attn_v.weight"); }),
          "tensor blk.1.attn_v.weight is missing", corrupt);
  refuses(with([&](auto& b) { b.remove_tensor("token_embd.weight"); }), "token_embd.weight is missing",
          corrupt);
  refuses(
      with([&](auto& b) { b.add_tensor("blk.0.ffn_gate_inp.weight", 0, {4}, std::vector<std::byte>(16)); }),
      "tensor blk.0.ffn_gate_inp.weight is not part of a llama model", unsupported);
  refuses(with([&](auto& b) { b.add_tensor("extra", 18, {256}, std::vector<std::byte>(98)); }),
          "tensor extra: type IQ3_XXS holds indices into ggml's codebooks", unsupported);
  refuses(
      with([&](auto& b) { b.add_tensor("blk.0.attn_q_norm.weight", 0, {16}, std::vector<std::byte>(64)); }),
      "tensor blk.0.attn_q_norm.weight is not part of a llama model", unsupported);
  refuses(
      with([&](auto& b) { b.add_tensor("rope_factors_long.weight", 0, {8}, std::vector<std::byte>(32)); }),
      "tensor rope_factors_long.weight is not part", unsupported);
  refuses(with([&](auto& b) { set_string(b, "tokenizer.ggml.model", "t5"); }), "tokenizer t5", unsupported);
  refuses(with([&](auto& b) { set_string(b, "tokenizer.ggml.pre", "mystery"); }), "pre-tokenizer mystery",
          unsupported);
  refuses(with([&](auto& b) { b.remove("tokenizer.ggml.tokens"); }), "tokenizer.ggml.tokens is missing",
          corrupt);
  refuses(with([&](auto& b) {
            b.remove("tokenizer.ggml.merges");
            b.add_strings("tokenizer.ggml.merges", {"a zz"});
          }),
          "merge 0 of", corrupt);
  refuses(with([&](auto& b) { set(b, "tokenizer.ggml.eos_token_id", 260); }),
          "tokenizer.ggml.eos_token_id must be", corrupt);
  refuses(with([&](auto& b) {
            b.remove("tokenizer.ggml.token_type");
            b.add_i32s("tokenizer.ggml.token_type", {1});
          }),
          "one number a token", corrupt);
  refuses(with([&](auto& b) {
            b.remove("tokenizer.ggml.tokens");
            b.add_strings("tokenizer.ggml.tokens", {"a", "b", "c"});
            b.remove("tokenizer.ggml.token_type");
          }),
          "has 3 tokens, but token_embd.weight 260 rows", corrupt);
  refuses(with([&](auto& b) {
            std::vector<std::byte> data = testing::random_blocks(GgufType::kQ4_0, 64 * 64, 3);
            data[1] = std::byte{0x7C};
            data[0] = std::byte{0};
            b.remove_tensor("blk.0.attn_q.weight");
            b.add_tensor("blk.0.attn_q.weight", 2, {64, 64}, data);
          }),
          "tensor blk.0.attn_q.weight: block 0 has a scale that is not finite", corrupt);
}

TEST_F(ImportTest, damaged_files_are_imported_or_refused_but_never_half) {
  constexpr unsigned kSeed = 31;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  std::mt19937 random(kSeed);
  int refused = 0;
  for (const char* architecture : {"llama", "gemma3", "phi3"}) {
    for (const GgufType type : {GgufType::kQ5_0, GgufType::kQ6_K}) {
      const bool wide = type == GgufType::kQ6_K;
      const std::string whole =
          make_tiny_gguf(type, {.architecture = architecture, .wide = wide}).builder.bytes();
      for (int round = 0; round < 20; ++round) {
        std::string damaged = whole;
        // Metadata comes first; half of the damage goes there.
        const std::size_t range = round % 2 == 0 ? whole.size() : std::min<std::size_t>(whole.size(), 12'000);
        for (int flips = 0; flips < 3; ++flips)
          damaged[random() % range] = static_cast<char>(random() & 0xFFU);
        const fs::path file = folder_.path() / "damaged.gguf";
        fs::remove(file);
        std::ofstream(file, std::ios::binary)
            .write(damaged.data(), static_cast<std::streamsize>(damaged.size()));
        ImportOptions options;
        options.name = "tiny";
        options.models_folder = models();
        options.overwrite = true;
        const auto report = import_gguf(file, options);
        if (report.ok()) {
          EXPECT_TRUE(ModelFolder::open(report->folder).ok());
        } else {
          ++refused;
          EXPECT_NE(report.error().message.find("damaged.gguf"), std::string::npos) << report.error().message;
          EXPECT_TRUE(leftovers().empty() || leftovers() == "tiny ") << leftovers();
        }
      }
    }
  }
  EXPECT_GT(refused, 0);
}

TEST_F(ImportTest, a_name_in_use_is_kept_unless_overwriting) {
  const TinyGguf first = make_tiny_gguf(GgufType::kQ4_0);
  ASSERT_TRUE(import(first.builder).ok());
  const auto again = import(first.builder);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().kind, ErrorKind::kConflict);
  const auto replaced = import(make_tiny_gguf(GgufType::kQ8_0).builder, "tiny", true);
  ASSERT_TRUE(replaced.ok()) << replaced.error().message;
  EXPECT_EQ(ModelFolder::open(models() / "tiny")->spec().embedding.quantization.bits, 8);
  // A failing import leaves the old folder as it was.
  TinyGguf broken = make_tiny_gguf(GgufType::kQ4_0);
  broken.builder.remove_tensor("output_norm.weight");
  EXPECT_FALSE(import(broken.builder, "tiny", true).ok());
  EXPECT_EQ(ModelFolder::open(models() / "tiny")->spec().embedding.quantization.bits, 8);
  EXPECT_EQ(leftovers(), "tiny ");
}

TEST_F(ImportTest, takes_over_the_remains_of_a_killed_import_but_not_a_running_one) {
  const TinyGguf tiny = make_tiny_gguf(GgufType::kQ4_0);
  fs::create_directories(models() / ".importing-tiny");
  std::ofstream(models() / ".importing-tiny" / "model.safetensors") << "half";
  const fs::path lock = models() / ".importing-tiny.lock";
  const int running = ::open(lock.c_str(), O_RDWR | O_CREAT, 0644);
  ASSERT_EQ(::flock(running, LOCK_EX), 0);
  const auto refused = import(tiny.builder);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kConflict);
  ::close(running);
  EXPECT_TRUE(import(tiny.builder).ok());
  EXPECT_EQ(leftovers(), "tiny ");
}

TEST_F(ImportTest, names_come_from_the_file_and_stay_inside_the_models_folder) {
  const TinyGguf tiny = make_tiny_gguf(GgufType::kQ4_0);
  const auto report = import(tiny.builder, "");
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->name, "source");
  for (const char* name : {"..", "../x", "a/b", "/etc/x", ".hidden", "-x", "a b", "x\n"}) {
    const auto refused = import(tiny.builder, name);
    ASSERT_FALSE(refused.ok()) << name;
    EXPECT_EQ(refused.error().kind, ErrorKind::kInvalidArgument);
  }
}

TEST_F(ImportTest, progress_rises_to_one) {
  make_tiny_gguf(GgufType::kQ4_0).builder.write(folder_.path() / "source.gguf");
  std::vector<float> seen;
  ImportOptions options;
  options.models_folder = models();
  options.progress = [&](float done) { seen.push_back(done); };
  ASSERT_TRUE(import_gguf(folder_.path() / "source.gguf", options).ok());
  ASSERT_FALSE(seen.empty());
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(seen.back(), 1.0F);
}

TEST_F(ImportTest, every_end_of_turn_token_ends_a_generation) {
  TinyGguf tiny = make_tiny_gguf(GgufType::kQ4_0);
  tiny.builder.remove("tokenizer.ggml.tokens");
  std::vector<std::string> tokens;
  for (int i = 0; i < 260; ++i) tokens.push_back("t" + std::to_string(i));
  tokens[3] = "a";
  tokens[4] = "b";
  tokens[7] = "<|eot_id|>";
  tokens[9] = "<|im_end|>";
  tiny.builder.add_strings("tokenizer.ggml.tokens", tokens);
  tiny.builder.add_u32("tokenizer.ggml.eot_token_id", 8);
  ASSERT_TRUE(import(tiny.builder).ok());
  EXPECT_EQ(ModelFolder::open(models() / "tiny")->eos_tokens(), (std::vector<std::int32_t>{2, 8, 7, 9}));
}

TEST_F(ImportTest, sentencepiece_scores_become_ranked_merges) {
  TinyGguf tiny = make_tiny_gguf(GgufType::kQ4_0);
  GgufBuilder& b = tiny.builder;
  for (const char* key : {"tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.tokens",
                          "tokenizer.ggml.merges", "tokenizer.ggml.token_type"})
    b.remove(key);
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<std::int32_t> types = {2, 3, 3};
  std::vector<float> scores = {0, 0, 0};
  for (int i = 0; i < 250; ++i) {
    tokens.push_back("<0x" + std::string(1, "0123456789ABCDEF"[i / 16]) + "0123456789ABCDEF"[i % 16] + ">");
    types.push_back(6);
    scores.push_back(0);
  }
  for (const auto& [text, score] : std::vector<std::pair<const char*, float>>{{"ab", -1.0F},
                                                                              {"abc", -2.0F},
                                                                              {"bc", -3.0F},
                                                                              {"a", -4.0F},
                                                                              {"b", -5.0F},
                                                                              {"c", -6.0F},
                                                                              {"é", -7.0F}}) {
    tokens.emplace_back(text);
    types.push_back(1);
    scores.push_back(score);
  }
  b.add_string("tokenizer.ggml.model", "llama");
  b.add_strings("tokenizer.ggml.tokens", tokens);
  b.add_i32s("tokenizer.ggml.token_type", types);
  b.add_f32s("tokenizer.ggml.scores", scores);
  const auto report = import(b);
  ASSERT_TRUE(report.ok()) << report.error().message;
  const json::object tokenizer = read("tokenizer.json");
  const json::value expected =
      parse_json(R"([["a","b"],["ab","c"],["a","bc"],["b","c"]])", "merges").take_value();
  EXPECT_EQ(tokenizer.at("model").at("merges"), expected);
  EXPECT_EQ(tokenizer.at("model").at("byte_fallback"), true);
  EXPECT_EQ(tokenizer.at("model").at("unk_token"), "<unk>");
  EXPECT_EQ(tokenizer.at("post_processor").at("single").at(0).at("SpecialToken").at("id"), "<s>");
}

TEST_F(ImportTest, stops_when_told_to_and_leaves_nothing) {
  for (const int patience : {0, 1, 5, 20}) {
    make_tiny_gguf(GgufType::kQ6_K, {.wide = true}).builder.write(folder_.path() / "source.gguf");
    ImportOptions options;
    options.models_folder = models();
    int asked = 0;
    options.is_cancelled = [&] { return asked++ >= patience; };
    const auto report = import_gguf(folder_.path() / "source.gguf", options);
    ASSERT_FALSE(report.ok()) << patience;
    EXPECT_EQ(report.error().kind, ErrorKind::kCancelled) << report.error().message;
    EXPECT_EQ(leftovers(), "") << patience;
  }
}

}  // namespace
}  // namespace mlxd
