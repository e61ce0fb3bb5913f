// Models to begin with, by what they need: a list that comes with the program, of the day it was looked at.
// Nothing is asked for it; whether a model is there still is told by the hub. Functions over a constant.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/memory_fit.h"
#include "catalog/model_facts.h"

namespace mlxd {

struct RecommendedModel {
  std::string_view id;            // at the hub
  std::string_view purpose;       // "chat", "code" or "reasoning"
  std::string_view note;          // what it is good for, in a few words
  std::string_view architecture;  // config.json's model_type
  std::string_view quantization;
  std::uint64_t weight_bytes = 0;
  std::int64_t num_parameters = 0;
  std::int64_t active_parameters = 0;  // of those, what a token meets; the same unless it is a mixture
  std::int64_t context_tokens = 0;
  MemoryShape shape = {};

  /// As a model's own files would tell them.
  ModelFacts facts() const;
};

/// The day the list is of, "2026-11-27".
std::string_view recommended_models_date();
/// Smallest first.
std::span<const RecommendedModel> recommended_models();

struct Recommendation {
  const RecommendedModel* model = nullptr;
  MemoryFit fit;
  bool best = false;  // of its purpose the largest that fits
};
/// All of them, for one machine.
std::vector<Recommendation> recommend_models(const FitQuestion& question);

}  // namespace mlxd
