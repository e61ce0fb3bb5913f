#include "catalog/recommended_models.h"

#include <array>
#include <iterator>

namespace mlxd {
namespace {

constexpr std::string_view kDate = "2026-11-27";

constexpr std::uint64_t kMB = 1'000'000;
constexpr std::int64_t kMillion = 1'000'000;

// Only what this program computes; from 30 billion parameters on only mixtures, which are as fast as a small
// model wherever they fit. K/V bytes a token: layers × K/V heads × head size × 4 (two 16-bit values); of
// gpt-oss every other layer sees a window of 128.
constexpr std::array kModels{
    RecommendedModel{.id = "mlx-community/Qwen3-0.6B-4bit",
                     .purpose = "chat",
                     .note = "the smallest that holds a conversation",
                     .architecture = "qwen3",
                     .quantization = "4-bit, group 64",
                     .weight_bytes = 335 * kMB,
                     .num_parameters = 596 * kMillion,
                     .active_parameters = 596 * kMillion,
                     .context_tokens = 40960,
                     .shape = {28 * 8 * 128 * 4, 0, 0, 1024, 3072, 151936}},
    RecommendedModel{.id = "mlx-community/Qwen3-1.7B-4bit",
                     .purpose = "chat",
                     .note = "short questions and summaries, also without a fast machine",
                     .architecture = "qwen3",
                     .quantization = "4-bit, group 64",
                     .weight_bytes = 968 * kMB,
                     .num_parameters = 1720 * kMillion,
                     .active_parameters = 1720 * kMillion,
                     .context_tokens = 40960,
                     .shape = {28 * 8 * 128 * 4, 0, 0, 2048, 6144, 151936}},
    RecommendedModel{.id = "mlx-community/Qwen3-4B-Instruct-2507-4bit",
                     .purpose = "chat",
                     .note = "everyday questions and tools on a laptop",
                     .architecture = "qwen3",
                     .quantization = "4-bit, group 64",
                     .weight_bytes = 2263 * kMB,
                     .num_parameters = 4022 * kMillion,
                     .active_parameters = 4022 * kMillion,
                     .context_tokens = 262144,
                     .shape = {36 * 8 * 128 * 4, 0, 0, 2560, 9728, 151936}},
    RecommendedModel{.id = "mlx-community/Qwen3-8B-4bit",
                     .purpose = "reasoning",
                     .note = "thinks before it answers, if it is let",
                     .architecture = "qwen3",
                     .quantization = "4-bit, group 64",
                     .weight_bytes = 4608 * kMB,
                     .num_parameters = 8191 * kMillion,
                     .active_parameters = 8191 * kMillion,
                     .context_tokens = 40960,
                     .shape = {36 * 8 * 128 * 4, 0, 0, 4096, 12288, 151936}},
    RecommendedModel{.id = "mlx-community/Qwen3-14B-4bit",
                     .purpose = "reasoning",
                     .note = "the same with more knowledge",
                     .architecture = "qwen3",
                     .quantization = "4-bit, group 64",
                     .weight_bytes = 8308 * kMB,
                     .num_parameters = 14768 * kMillion,
                     .active_parameters = 14768 * kMillion,
                     .context_tokens = 40960,
                     .shape = {40 * 8 * 128 * 4, 0, 0, 5120, 17408, 151936}},
    RecommendedModel{.id = "mlx-community/gpt-oss-20b-MXFP4-Q8",
                     .purpose = "reasoning",
                     .note = "reasoning and tools at the speed of a small model",
                     .architecture = "gpt_oss",
                     .quantization = "mxfp4 and 8-bit",
                     .weight_bytes = 12100 * kMB,
                     .num_parameters = 20915 * kMillion,
                     .active_parameters = 3600 * kMillion,
                     .context_tokens = 131072,
                     .shape = {12 * 8 * 64 * 4, 12 * 8 * 64 * 4, 128, 2880, 2880, 201088}},
    RecommendedModel{.id = "mlx-community/Qwen3-30B-A3B-Instruct-2507-4bit",
                     .purpose = "chat",
                     .note = "a large model's answers at a small one's speed",
                     .architecture = "qwen3_moe",
                     .quantization = "4-bit, group 64",
                     .weight_bytes = 17180 * kMB,
                     .num_parameters = 30532 * kMillion,
                     .active_parameters = 3300 * kMillion,
                     .context_tokens = 262144,
                     .shape = {48 * 4 * 128 * 4, 0, 0, 2048, 6144, 151936}},
    RecommendedModel{.id = "mlx-community/Qwen3-Coder-30B-A3B-Instruct-4bit",
                     .purpose = "code",
                     .note = "coding agents",
                     .architecture = "qwen3_moe",
                     .quantization = "4-bit, group 64",
                     .weight_bytes = 17180 * kMB,
                     .num_parameters = 30532 * kMillion,
                     .active_parameters = 3300 * kMillion,
                     .context_tokens = 262144,
                     .shape = {48 * 4 * 128 * 4, 0, 0, 2048, 6144, 151936}},
    RecommendedModel{.id = "mlx-community/gpt-oss-120b-MXFP4-Q8",
                     .purpose = "reasoning",
                     .note = "the strongest of this list",
                     .architecture = "gpt_oss",
                     .quantization = "mxfp4 and 8-bit",
                     .weight_bytes = 63400 * kMB,
                     .num_parameters = 116829 * kMillion,
                     .active_parameters = 5100 * kMillion,
                     .context_tokens = 131072,
                     .shape = {18 * 8 * 64 * 4, 18 * 8 * 64 * 4, 128, 2880, 2880, 201088}},
};

}  // namespace

ModelFacts RecommendedModel::facts() const {
  ModelFacts facts;
  facts.architecture = architecture;
  facts.quantization = quantization;
  facts.context_tokens = context_tokens;
  facts.size_bytes = weight_bytes;
  facts.weight_bytes = weight_bytes;
  facts.num_parameters = num_parameters;
  facts.has_chat_template = true;
  facts.tools = true;
  facts.reasoning = purpose == "reasoning";
  facts.shape = shape;
  return facts;
}

std::string_view recommended_models_date() { return kDate; }
std::span<const RecommendedModel> recommended_models() { return kModels; }

std::vector<Recommendation> recommend_models(const FitQuestion& question) {
  std::vector<Recommendation> all;
  for (const RecommendedModel& model : kModels)
    all.push_back({.model = &model, .fit = fit_memory(model.facts(), question)});
  // From the largest on.
  for (auto each = all.rbegin(); each != all.rend(); ++each) {
    if (each->fit.verdict != FitVerdict::kFits) continue;
    bool larger = false;
    for (auto before = all.rbegin(); before != each; ++before)
      larger = larger || (before->best && before->model->purpose == each->model->purpose);
    each->best = !larger;
  }
  return all;
}

}  // namespace mlxd
