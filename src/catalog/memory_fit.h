// Whether a model fits into a machine's memory, with the parts of the sum. Pure functions.
#pragma once

#include <cstdint>
#include <string_view>

#include "catalog/model_facts.h"

namespace mlxd {

struct FitQuestion {
  std::uint64_t memory_bytes = 0;      // of the machine
  std::int64_t context_tokens = 8192;  // of each sequence; no more than the model's own
  std::int64_t concurrency = 1;        // sequences at a time
};

enum class FitVerdict { kFits, kTight, kTooLarge, kUnknown };
std::string_view to_string(FitVerdict verdict);

struct MemoryFit {
  std::uint64_t weight_bytes = 0;
  std::uint64_t kv_bytes = 0;
  std::uint64_t scratch_bytes = 0;
  std::uint64_t total_bytes = 0;
  std::uint64_t memory_bytes = 0;
  std::int64_t context_tokens = 0;  // asked for, within the model's own
  std::int64_t concurrency = 1;
  std::int64_t max_context_tokens = 0;  // the longest that fits at this concurrency; 0: none does
  FitVerdict verdict = FitVerdict::kUnknown;
};

/// Weights as in the files, 16-bit K/V of context × concurrency (windows held to their length), and the
/// activations of a step of 512 tokens with the logits of each sequence. Fits: within 80 % of memory; tight:
/// within 95 %.
MemoryFit fit_memory(const ModelFacts& facts, const FitQuestion& question);

}  // namespace mlxd
