#include "model/model_folder.h"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>

#include "model/architectures/architecture.h"
#include "model/json.h"
#include "model/safetensors_writer.h"
#include "model/testing/synthetic_model.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using testing::SyntheticModelOptions;
using testing::TemporaryFolder;

json::object read_object(const fs::path& file) { return read_json_object(file, 1U << 20U).take_value(); }

void write_object(const fs::path& file, const json::object& object) {
  std::ofstream(file, std::ios::trunc) << to_pretty_json(object);
}

// A synthetic model whose config.json is `config` merged over the right one; null removes.
class ModelFolderTest : public ::testing::Test {
 protected:
  void make(const SyntheticModelOptions& options) {
    ASSERT_TRUE(testing::write_synthetic_model(folder_.path(), options).ok());
    config_ = read_object(folder_.path() / "config.json");
  }
  Result<ModelFolder> open_with(std::string_view changes) {
    json::object config = config_;
    const json::value parsed = parse_json(changes, "changes").take_value();
    for (const auto& [key, value] : parsed.get_object()) {
      if (value.is_null()) {
        config.erase(key);
      } else {
        config[key] = value;
      }
    }
    write_object(folder_.path() / "config.json", config);
    return ModelFolder::open(folder_.path());
  }
  void refuses(std::string_view changes, const std::string& expected,
               ErrorKind kind = ErrorKind::kCorruptData) {
    const auto model = open_with(changes);
    ASSERT_FALSE(model.ok()) << changes;
    EXPECT_EQ(model.error().kind, kind) << model.error().message;
    EXPECT_NE(model.error().message.find(expected), std::string::npos) << changes << "\n"
                                                                       << model.error().message;
    EXPECT_NE(model.error().message.find(folder_.path().string()), std::string::npos)
        << model.error().message;
  }
  void accepts(std::string_view changes) {
    const auto model = open_with(changes);
    EXPECT_TRUE(model.ok()) << changes << "\n" << model.error().message;
  }

  TemporaryFolder folder_;
  json::object config_;
};

TEST_F(ModelFolderTest, opens_every_kind_of_synthetic_model) {
  for (const std::int32_t bits : {0, 2, 3, 4, 5, 6, 8}) {
    for (const std::int32_t group_size : {32, 64}) {
      for (const bool tied : {true, false}) {
        SyntheticModelOptions options;
        options.bits = bits;
        options.group_size = group_size;
        options.tied_embeddings = tied;
        options.attention_bias = options.mlp_bias = tied;
        options.dtype = tied ? DType::kBF16 : DType::kF16;
        make(options);
        const auto model = ModelFolder::open(folder_.path());
        ASSERT_TRUE(model.ok()) << model.error().message;
        const Quantization expected =
            bits == 0 ? Quantization{} : Quantization{QuantizationMode::kAffine, bits, group_size};
        EXPECT_EQ(model->spec().layers.at(1).mlp->down_proj.quantization, expected);
        EXPECT_EQ(model->spec().tied_embeddings, tied);
        EXPECT_EQ(model->spec().lm_head.name, tied ? "model.embed_tokens" : "lm_head");
      }
    }
  }
}

constexpr Quantization kFloatModes[] = {
    {QuantizationMode::kMxfp4, 4, 32}, {QuantizationMode::kMxfp8, 8, 32}, {QuantizationMode::kNvfp4, 4, 16}};

SyntheticModelOptions options_of(const Quantization& quantization) {
  SyntheticModelOptions options;
  options.bits = quantization.bits;
  options.group_size = quantization.group_size;
  options.mode = quantization.mode;
  return options;
}

TEST_F(ModelFolderTest, opens_models_of_small_floats) {
  for (const Quantization& expected : kFloatModes) {
    make(options_of(expected));
    const auto model = ModelFolder::open(folder_.path());
    ASSERT_TRUE(model.ok()) << model.error().message;
    EXPECT_EQ(model->spec().layers.at(1).mlp->down_proj.quantization, expected);
    EXPECT_EQ(model->spec().embedding.quantization, expected);
    accepts(R"({"quantization": null})");  // the tensors say it all
  }
  accepts(R"({"quantization": {"mode": "nvfp4"}})");
  refuses(R"({"quantization": {"group_size": 32, "bits": 4}})",
          "is stored with 4 bits in groups of 16 (nvfp4), but config.json says 4 bits in groups of 32");
  refuses(R"({"quantization": {"mode": "mxfp4"}})", "but config.json says 4 bits in groups of 32 (mxfp4)");
  refuses(R"({"quantization": {"mode": "nvfp4", "bits": 8}})",
          "quantization.bits: 8, must be 4 in mode nvfp4");
  refuses(R"({"quantization": {"mode": "nvfp4", "group_size": 32}})",
          "quantization.group_size: 32, must be 16 in mode nvfp4");
  refuses(R"({"quantization": {"mode": "int3"}})", "quantization.mode: \"int3\" is not supported; use affine",
          ErrorKind::kUnsupported);
  // An entry without a mode is affine.
  refuses(
      R"({"quantization": {"mode": "nvfp4", "model.embed_tokens": {"group_size": 64, "bits": 8}}})",
      "tensor model.embed_tokens.weight: is stored with 4 bits in groups of 16 (nvfp4), but config.json says "
      "8 bits in groups of 64");
}

TEST_F(ModelFolderTest, reads_modes_that_differ_by_module) {
  SyntheticModelOptions options = options_of(kFloatModes[0]);
  options.embedding_bits = 0;
  make(options);
  const auto model = ModelFolder::open(folder_.path());
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->spec().embedding.quantization, Quantization{});
  EXPECT_EQ(model->spec().layers[0].mlp->up_proj.quantization, kFloatModes[0]);
  accepts(R"({"quantization": null, "quantization_config": {"quant_method": "mxfp4"}})");
}

TEST_F(ModelFolderTest, describes_the_model_completely) {
  SyntheticModelOptions options;
  options.embedding_bits = 8;
  options.rope_traditional = true;
  make(options);
  const auto model = ModelFolder::open(folder_.path() / "");
  ASSERT_TRUE(model.ok()) << model.error().message;
  const ModelSpec& spec = model->spec();
  EXPECT_EQ(model->name(), folder_.path().filename().string());
  EXPECT_EQ(spec.model_type, "llama");
  EXPECT_EQ(spec.context_tokens, 512);
  EXPECT_EQ(spec.embedding.quantization.bits, 8);
  EXPECT_EQ(spec.layers[0].attention->q_proj.quantization.bits, 4);
  EXPECT_EQ(spec.layers[1].attention->k_proj->name, "model.layers.1.self_attn.k_proj");
  EXPECT_EQ(spec.layers[1].attention->index_in_group, 1);
  EXPECT_EQ(spec.layers[0].attention->k_proj->out_features, 32);
  EXPECT_EQ(spec.layers[0].attention->scale, 0.25F);
  EXPECT_EQ(spec.layers[0].attention_norm->eps, 1e-5F);
  EXPECT_TRUE(spec.ropes.at(0).traditional);
  EXPECT_EQ(spec.ropes[0].inverse_frequencies.size(), 8U);
  EXPECT_EQ(spec.layer_groups.at(0).num_layers, 2);
  EXPECT_EQ(model->eos_tokens(), (std::vector<std::int32_t>{256, 258}));
  const std::int64_t per_layer = 64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128 + 2 * 64;
  EXPECT_EQ(model->num_parameters(), 320 * 64 + 2 * per_layer + 64);
}

TEST_F(ModelFolderTest, refuses_absurd_numbers_naming_field_and_value) {
  make({});
  refuses(R"({"hidden_size": -5})", "config.json: hidden_size: -5, must be an integer between 1 and 262144");
  refuses(R"({"hidden_size": 0})", "hidden_size: 0, must be");
  refuses(R"({"hidden_size": 64.5})", "hidden_size: 6.45E1, must be");
  refuses(R"({"hidden_size": "64"})", "hidden_size: \"64\", must be");
  refuses(R"({"hidden_size": null})", "hidden_size: is missing, must be");
  refuses(R"({"hidden_size": {"a": 1}})", "hidden_size: an object, must be");
  refuses(R"({"hidden_size": 99999999999999999999999999})", "hidden_size: ");
  refuses(R"({"num_hidden_layers": 10001})", "num_hidden_layers: 10001, must be");
  refuses(R"({"num_hidden_layers": 9223372036854775807})", "num_hidden_layers: ");
  refuses(R"({"vocab_size": 10000001})", "vocab_size: 10000001, must be");
  refuses(R"({"num_attention_heads": 0})", "num_attention_heads: 0, must be");
  refuses(R"({"num_attention_heads": 4096, "num_key_value_heads": 4096, "head_dim": 1024})",
          "num_attention_heads: 4096, must be such");
  refuses(R"({"num_key_value_heads": 3})",
          "num_key_value_heads: 3, must be a divisor of num_attention_heads, 4");
  refuses(R"({"num_key_value_heads": 8})", "num_key_value_heads: 8, must be a divisor");
  refuses(R"({"head_dim": null, "num_attention_heads": 5, "num_key_value_heads": 1})",
          "hidden_size: 64, must be a multiple of num_attention_heads, 5");
  refuses(R"({"head_dim": 15})", "head_dim: 15, must be such that head_dim is even");
  refuses(R"({"head_dim": 100000})", "head_dim: 100000, must be");
  refuses(R"({"max_position_embeddings": 2147483648})", "max_position_embeddings: 2147483648, must be");
  refuses(R"({"rms_norm_eps": 0})", "rms_norm_eps: 0, must be");
  refuses(R"({"rms_norm_eps": -1e-5})", "rms_norm_eps: ");
  refuses(R"({"tie_word_embeddings": "yes"})", "tie_word_embeddings: \"yes\", must be true or false");
  refuses(R"({"eos_token_id": 320})", "eos_token_id: 320, must be a token id");
  refuses(R"({"eos_token_id": [1, -2]})", "eos_token_id: a list, must be a token id");
  refuses(R"({"eos_token_id": "</s>"})", "eos_token_id: \"</s>\", must be");
}

TEST_F(ModelFolderTest, refuses_a_huge_claim_quickly) {
  make({});
  const auto start = std::chrono::steady_clock::now();
  refuses(R"({"num_hidden_layers": 10000})", "tensor model.layers.2.input_layernorm.weight is missing");
  refuses(R"({"vocab_size": 10000000, "hidden_size": 262144})", "tensor model.embed_tokens");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST_F(ModelFolderTest, refuses_what_it_would_compute_wrongly) {
  make({});
  const auto kind = ErrorKind::kUnsupported;
  refuses(R"({"model_type": "unheard_of"})",
          "model_type: \"unheard_of\" is not supported; supported are afmoe, ", kind);
  refuses(R"({"model_type": null})", "model_type: is missing");
  refuses(R"({"hidden_act": "gelu"})", "hidden_act: \"gelu\" is not supported", kind);
  refuses(R"({"partial_rotary_factor": 0.5})", "partial_rotary_factor: ", kind);
  refuses(R"({"model_type": "mistral", "sliding_window": 0})", "sliding_window: 0, must be");
  refuses(R"({"layer_types": ["full_attention", "sliding_attention"]})",
          "sliding_window: is missing, must be");
  refuses(R"({"layer_types": ["full_attention", "linear_attention"]})",
          "layer_types: a list is not supported", kind);
  refuses(R"({"layer_types": ["full_attention"]})",
          "layer_types: a list, must be a list with one entry a layer");
  refuses(R"({"attention_bias": true})", "tensor model.layers.0.self_attn.q_proj.bias is missing");
  accepts(R"({"model_type": "mistral"})");
  accepts(R"({"partial_rotary_factor": 1})");
  accepts(R"({"rope_theta": null, "rope_parameters": {"rope_theta": 10000, "rope_type": "default"}})");
  accepts(R"({"hidden_size": 64.0})");
}

TEST_F(ModelFolderTest, puts_layers_of_one_window_into_one_group) {
  SyntheticModelOptions options;
  options.num_layers = 3;
  make(options);
  struct Group {
    std::int32_t num_layers, window_tokens;
  };
  const auto check = [&](const char* changes, const std::vector<Group>& expected,
                         const std::vector<std::int32_t>& groups, const std::vector<std::int32_t>& indices) {
    SCOPED_TRACE(changes);
    const auto model = open_with(changes);
    ASSERT_TRUE(model.ok()) << model.error().message;
    const ModelSpec& spec = model->spec();
    ASSERT_EQ(spec.layer_groups.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(spec.layer_groups[i].num_layers, expected[i].num_layers);
      EXPECT_EQ(spec.layer_groups[i].window_tokens, expected[i].window_tokens);
      EXPECT_EQ(spec.layer_groups[i].num_kv_heads, options.num_kv_heads);
      EXPECT_EQ(spec.layer_groups[i].head_dim, options.head_dim);
    }
    for (std::size_t i = 0; i < spec.layers.size(); ++i) {
      EXPECT_EQ(spec.layers[i].attention->layer_group, groups[i]) << i;
      EXPECT_EQ(spec.layers[i].attention->index_in_group, indices[i]) << i;
    }
  };
  check(R"({})", {{3, 0}}, {0, 0, 0}, {0, 1, 2});
  check(R"({"sliding_window": 256})", {{3, 0}}, {0, 0, 0}, {0, 1, 2});
  check(R"({"model_type": "mistral", "sliding_window": 256})", {{3, 256}}, {0, 0, 0}, {0, 1, 2});
  check(R"({"model_type": "mistral", "sliding_window": 512})", {{3, 0}}, {0, 0, 0}, {0, 1, 2});
  check(R"({"model_type": "mistral", "sliding_window": null})", {{3, 0}}, {0, 0, 0}, {0, 1, 2});
  check(R"({"layer_types": ["full_attention", "full_attention", "full_attention"], "sliding_window": 9})",
        {{3, 0}}, {0, 0, 0}, {0, 1, 2});
  check(
      R"({"layer_types": ["sliding_attention", "full_attention", "sliding_attention"], "sliding_window": 9})",
      {{2, 9}, {1, 0}}, {0, 1, 0}, {0, 0, 1});
}

TEST_F(ModelFolderTest, compares_quantization_with_the_tensors) {
  make({});
  refuses(
      R"({"quantization": {"bits": 8, "group_size": 32}})",
      "tensor model.embed_tokens.weight: is stored with 4 bits in groups of 32, but config.json says 8 bits");
  refuses(R"({"quantization": {"bits": 4, "group_size": 64}})",
          "in groups of 32, but config.json says 4 bits in groups of 64");
  refuses(R"({"quantization": {"bits": 7, "group_size": 32}})",
          "quantization.bits: 7, must be 2, 3, 4, 5, 6 or 8");
  refuses(R"({"quantization": {"bits": 4, "group_size": 48}})",
          "quantization.group_size: 48, must be 32, 64 or 128");
  refuses(R"({"quantization": 4})", "quantization: 4, must be an object");
  refuses(
      R"({"quantization": {"bits": 4, "group_size": 32, "model.layers.0.mlp.up_proj": {"bits": 8, "group_size": 32}}})",
      "tensor model.layers.0.mlp.up_proj.weight: is stored with 4 bits");
  refuses(R"({"quantization": {"bits": 4, "group_size": 32, "model.layers.0.mlp.up_proj": false}})",
          "tensor model.layers.0.mlp.up_proj.scales exists, but config.json says");
  refuses(R"({"quantization": {"bits": 4, "group_size": 32, "mode": "mxfp4"}})",
          "in groups of 32, but config.json says 4 bits in groups of 32 (mxfp4)");
  refuses(R"({"quantization": null, "quantization_config": {"quant_method": "bitnet", "bits": 4}})",
          "quantization_config.quant_method: \"bitnet\" is not supported", ErrorKind::kUnsupported);
  accepts(R"({"quantization": null})");
  accepts(R"({"quantization": null, "quantization_config": {"bits": 4, "group_size": 32}})");
  accepts(
      R"({"quantization": {"bits": 8, "group_size": 64, "model.embed_tokens": {"bits": 4, "group_size": 32},
              "model.layers.0.self_attn.q_proj": {"bits": 4, "group_size": 32}, "lm_head": false},
              "num_hidden_layers": 2, "quantization": {"bits": 4, "group_size": 32, "mode": "affine"}})");
}

TEST_F(ModelFolderTest, says_that_quantized_tensors_are_missing) {
  SyntheticModelOptions options;
  options.bits = 0;
  make(options);
  accepts(R"({"quantization": {"bits": 4, "group_size": 32}})");  // plain modules stay plain, as in mlx-lm
  refuses(
      R"({"quantization": {"bits": 4, "group_size": 32, "model.norm.x": true, "model.embed_tokens": true}})",
      "tensor model.embed_tokens.scales is missing");
}

TEST_F(ModelFolderTest, refuses_weights_that_the_configuration_does_not_explain) {
  SyntheticModelOptions options;
  options.attention_bias = true;
  options.tied_embeddings = false;
  make(options);
  refuses(R"({"attention_bias": false})",
          "tensor model.layers.0.self_attn.k_proj.bias is not part of a llama model");
  accepts(R"({"tie_word_embeddings": true})");  // an unused head is dropped, as in mlx-lm
  accepts(R"({"tie_word_embeddings": null})");
  refuses(R"({"num_hidden_layers": 1})", "tensor model.layers.1.input_layernorm.weight is not part");
  refuses(R"({"vocab_size": 319})", "tensor model.embed_tokens.scales: is BF16 [320, 2], must be");
  refuses(R"({"intermediate_size": 256})",
          "tensor model.layers.0.mlp.gate_proj.scales: is BF16 [128, 2], must be");
}

TEST_F(ModelFolderTest, takes_end_tokens_from_generation_config_first) {
  make({});
  const fs::path generation = folder_.path() / "generation_config.json";
  const auto check = [&](const char* changes, const char* generation_text,
                         const std::vector<std::int32_t>& expected) {
    fs::remove(generation);
    if (generation_text != nullptr) std::ofstream(generation) << generation_text;
    const auto model = open_with(changes);
    ASSERT_TRUE(model.ok()) << model.error().message;
    EXPECT_EQ(model->eos_tokens(), expected);
  };
  check(R"({"eos_token_id": 5})", R"({"eos_token_id": [7, 8]})", {7, 8});
  check(R"({"eos_token_id": 5})", R"({"eos_token_id": 7})", {7});
  check(R"({"eos_token_id": [5, 6]})", R"({"temperature": 1})", {5, 6});
  check(R"({"eos_token_id": 5})", R"({"eos_token_id": null})", {5});
  check(R"({"eos_token_id": [5]})", nullptr, {5});
  check(R"({"eos_token_id": null})", nullptr, {});
  std::ofstream(generation) << "{";
  EXPECT_FALSE(ModelFolder::open(folder_.path()).ok());
}

TEST_F(ModelFolderTest, names_missing_files) {
  make({});
  fs::remove(folder_.path() / "config.json");
  const auto no_config = ModelFolder::open(folder_.path());
  ASSERT_FALSE(no_config.ok());
  EXPECT_EQ(no_config.error().kind, ErrorKind::kNotFound);
  EXPECT_NE(no_config.error().message.find("config.json"), std::string::npos);
  EXPECT_EQ(ModelFolder::open(folder_.path() / "none").error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(ModelFolder::open("").error().kind, ErrorKind::kNotFound);
}

TEST_F(ModelFolderTest, a_truncated_weight_file_is_refused_with_file_and_tensor) {
  make({});
  const fs::path weights = folder_.path() / "model.safetensors";
  fs::resize_file(weights, fs::file_size(weights) - 1);
  const auto model = ModelFolder::open(folder_.path());
  ASSERT_FALSE(model.ok());
  EXPECT_NE(model.error().message.find("model.safetensors: tensor model."), std::string::npos)
      << model.error().message;
  EXPECT_NE(model.error().message.find("truncated"), std::string::npos);
}

TEST_F(ModelFolderTest, random_damage_of_the_configuration_never_crashes) {
  make({});
  const std::string good = to_pretty_json(config_);
  std::uint64_t state = 99;  // seed
  for (int round = 0; round < 500; ++round) {
    std::string damaged = good;
    for (int flips = 0; flips < 3; ++flips) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      damaged[(state >> 33U) % damaged.size()] = static_cast<char>(32 + (state >> 20U) % 95);
    }
    std::ofstream(folder_.path() / "config.json", std::ios::trunc) << damaged;
    const auto model = ModelFolder::open(folder_.path());
    EXPECT_TRUE(model.ok() || !model.error().message.empty());
  }
}

TEST(Architectures, are_found_by_every_name_they_claim) {
  ASSERT_FALSE(architectures().empty());
  for (const Architecture* architecture : architectures()) {
    for (const std::string_view type : architecture->model_types)
      EXPECT_EQ(find_architecture(type), architecture);
  }
  EXPECT_EQ(find_architecture(""), nullptr);
}

}  // namespace
}  // namespace mlxd
