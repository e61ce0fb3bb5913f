#include "catalog/model_facts.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>

#include "catalog/memory_fit.h"
#include "catalog/tensor_count.h"

namespace mlxd {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;

ModelFacts facts_of(const char* config) {
  ModelFacts facts;
  add_config_facts(json::parse(config).as_object(), facts);
  return facts;
}

TEST(ModelFacts, ReadsSizesOfTheTextModelInside) {
  const ModelFacts facts =
      facts_of(R"({"model_type":"gemma3","vision_config":{},"quantization":{"bits":4,"group_size":64},
    "text_config":{"model_type":"gemma3_text","max_position_embeddings":131072,"hidden_size":2560,
      "num_hidden_layers":34,"num_attention_heads":8,"num_key_value_heads":4,"head_dim":256,"sliding_window":1024}})");
  EXPECT_EQ(facts.architecture, "gemma3");
  EXPECT_EQ(facts.quantization, "4-bit, group 64");
  EXPECT_EQ(facts.context_tokens, 131072);
  EXPECT_EQ(facts.inputs, (std::vector<std::string>{"text", "image"}));
  // Five of six layers have a window; K and V of 4 heads of 256 values of two bytes.
  EXPECT_EQ(facts.shape.kv_bytes_per_token, 5 * 2 * 4 * 256 * 2);
  EXPECT_EQ(facts.shape.window_kv_bytes_per_token, 29 * 2 * 4 * 256 * 2);
}

TEST(ModelFacts, ReadsHowMuchEachLayerKeeps) {
  const struct {
    const char* config;
    std::int64_t full, window;
  } cases[] = {
      // All layers alike.
      {R"({"num_hidden_layers":2,"num_attention_heads":4,"hidden_size":64})", 2 * 2 * 64 * 2, 0},
      // Latent attention: one latent of 512 and a rotated key of 64.
      {R"({"num_hidden_layers":3,"num_attention_heads":4,"hidden_size":64,"kv_lora_rank":512,"qk_rope_head_dim":64})",
       3 * 576 * 2, 0},
      // Types in a list; others keep no K/V.
      {R"({"num_hidden_layers":4,"num_attention_heads":1,"hidden_size":8,"sliding_window":16,
           "layer_types":["linear_attention","sliding_attention","full_attention","full_attention"]})",
       2 * 2 * 8 * 2, 2 * 8 * 2},
      {R"({"num_hidden_layers":8,"num_attention_heads":1,"hidden_size":8,"full_attention_interval":4})",
       2 * 2 * 8 * 2, 0},
      {R"({"num_hidden_layers":2,"num_attention_heads":1,"hidden_size":8,"sliding_window":16,"use_sliding_window":false})",
       2 * 2 * 8 * 2, 0},
      {R"({})", 0, 0},
      // Numbers that no model has are held to what can be counted with.
      {R"({"num_hidden_layers":9000000000000000000,"num_attention_heads":9000000000000000000,"head_dim":9000000000000000000})",
       std::int64_t{1} << 27U, 0},
  };
  for (const auto& each : cases) {
    const ModelFacts facts = facts_of(each.config);
    EXPECT_EQ(facts.shape.kv_bytes_per_token, each.full) << each.config;
    EXPECT_EQ(facts.shape.window_kv_bytes_per_token, each.window) << each.config;
  }
}

TEST(ModelFacts, ReadsTheTopOfACard) {
  ModelFacts facts;
  add_card_facts(
      "---\nlicense: apache-2.0\nbase_model:\n- Qwen/Qwen3-4B\n- \"other/one\"\ntags:\n- mlx\n---\nlicense: "
      "no\n",
      facts);
  EXPECT_EQ(facts.license, "apache-2.0");
  EXPECT_EQ(facts.base_models, (std::vector<std::string>{"Qwen/Qwen3-4B", "other/one"}));
  ModelFacts plain;
  add_card_facts("license: mit\n", plain);
  EXPECT_EQ(plain.license, "");
}

TEST(ModelFacts, KnowsToolsAndThinkingByTheTemplate) {
  const auto config = json::parse(
      R"({"chat_template":[{"name":"rag","template":"x"},{"name":"default","template":"{% if tools %}<think>"}]})");
  ModelFacts facts;
  add_template_facts(template_of(config.as_object()), facts);
  EXPECT_TRUE(facts.tools && facts.reasoning && facts.has_chat_template);
}

TEST(TensorCount, CountsThePackedMatrixAsWhatItStandsFor) {
  const fs::path file = fs::temp_directory_path() / ("mlxd-count-" + std::to_string(::getpid()));
  // 4-bit: 8 values a word; groups of 64.
  const std::string header = R"({"__metadata__":{"format":"mlx"},
    "a.weight":{"dtype":"U32","shape":[16,32],"data_offsets":[0,2048]},
    "a.scales":{"dtype":"F16","shape":[16,4],"data_offsets":[0,128]},
    "a.biases":{"dtype":"F16","shape":[16,4],"data_offsets":[0,128]},
    "norm.weight":{"dtype":"F16","shape":[256],"data_offsets":[0,512]}})";
  std::string bytes(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>((header.size() >> (8 * i)) & 0xFFU);
  std::ofstream(file, std::ios::binary) << bytes << header;
  const auto config = json::parse(R"({"quantization":{"bits":4,"group_size":64}})").as_object();
  TensorCount count;
  count.add_file(file);
  EXPECT_EQ(count.num_parameters(config), 16 * 256 + 256);
  std::ofstream(file, std::ios::binary) << "cut";
  count.add_file(file);
  EXPECT_EQ(count.num_parameters(config), 0);
  fs::remove(file);
}

TEST(MemoryFit, AddsUpItsPartsAndFindsTheLongestContext) {
  ModelFacts facts =
      facts_of(R"({"max_position_embeddings":100000,"num_hidden_layers":10,"num_attention_heads":8,
    "hidden_size":1024,"intermediate_size":4096,"vocab_size":32000})");
  facts.weight_bytes = 1'000'000'000;
  FitQuestion question{.memory_bytes = 4'000'000'000, .context_tokens = 1000, .concurrency = 2};
  const MemoryFit fit = fit_memory(facts, question);
  EXPECT_EQ(fit.kv_bytes, 2U * 1000 * 10 * 2 * 1024 * 2);
  EXPECT_EQ(fit.total_bytes, fit.weight_bytes + fit.kv_bytes + fit.scratch_bytes);
  EXPECT_EQ(fit.verdict, FitVerdict::kFits);
  EXPECT_GT(fit.max_context_tokens, 1000);
  EXPECT_LT(fit.max_context_tokens, 100000);
  question.context_tokens = fit.max_context_tokens;
  EXPECT_EQ(fit_memory(facts, question).verdict, FitVerdict::kTight);
  question.context_tokens = fit.max_context_tokens + 1;
  EXPECT_EQ(fit_memory(facts, question).verdict, FitVerdict::kTooLarge);
  question.memory_bytes = 500'000'000;
  EXPECT_EQ(fit_memory(facts, question).max_context_tokens, 0);
}

}  // namespace
}  // namespace mlxd
