#include "catalog/memory_fit.h"

#include <algorithm>

namespace mlxd {
namespace {

constexpr double kFits = 0.80;
constexpr double kTight = 0.95;
constexpr std::int64_t kStepTokens = 512;
constexpr std::int64_t kBytesPerFloat = 4;
constexpr std::int64_t kDefaultWindowMargin = 512;  // pages behind the window go when a step is over

std::uint64_t kv_bytes(const MemoryShape& shape, std::int64_t context, std::int64_t concurrency) {
  const std::int64_t in_window = std::min(context, shape.window_tokens + kDefaultWindowMargin);
  return static_cast<std::uint64_t>(
      concurrency * (context * shape.kv_bytes_per_token + in_window * shape.window_kv_bytes_per_token));
}

std::uint64_t scratch_bytes(const MemoryShape& shape, std::int64_t concurrency) {
  // Residual stream, its normed copy, queries, keys, values and the attention's output are each about as wide
  // as the hidden state; an MLP holds two of its width.
  const std::int64_t per_token = 6 * shape.hidden_size + 2 * shape.intermediate_size;
  return static_cast<std::uint64_t>(kBytesPerFloat *
                                    (kStepTokens * per_token + concurrency * shape.vocab_size));
}

}  // namespace

std::string_view to_string(FitVerdict verdict) {
  switch (verdict) {
    case FitVerdict::kFits:
      return "fits";
    case FitVerdict::kTight:
      return "tight";
    case FitVerdict::kTooLarge:
      return "too_large";
    case FitVerdict::kUnknown:
      return "unknown";
  }
  return "unknown";
}

MemoryFit fit_memory(const ModelFacts& facts, const FitQuestion& question) {
  constexpr std::int64_t kMaxContext = std::int64_t{1} << 24U;
  MemoryFit fit;
  fit.concurrency = std::clamp<std::int64_t>(question.concurrency, 1, 1024);
  const std::int64_t own =
      facts.context_tokens > 0 ? std::min(facts.context_tokens, kMaxContext) : kMaxContext;
  fit.context_tokens = std::clamp<std::int64_t>(question.context_tokens, 1, own);
  fit.memory_bytes = question.memory_bytes;
  fit.weight_bytes = facts.weight_bytes;
  fit.kv_bytes = kv_bytes(facts.shape, fit.context_tokens, fit.concurrency);
  fit.scratch_bytes = scratch_bytes(facts.shape, fit.concurrency);
  fit.total_bytes = fit.weight_bytes + fit.kv_bytes + fit.scratch_bytes;
  if (fit.weight_bytes == 0 || fit.memory_bytes == 0 || facts.shape.hidden_size == 0) return fit;
  const double memory = static_cast<double>(fit.memory_bytes);
  const double total = static_cast<double>(fit.total_bytes);
  fit.verdict = total <= memory * kFits    ? FitVerdict::kFits
                : total <= memory * kTight ? FitVerdict::kTight
                                           : FitVerdict::kTooLarge;
  const auto fits = [&](std::int64_t context) {
    const auto bytes = fit.weight_bytes + fit.scratch_bytes + kv_bytes(facts.shape, context, fit.concurrency);
    return static_cast<double>(bytes) <= memory * kTight;
  };
  if (!fits(1)) return fit;
  std::int64_t low = 1;
  std::int64_t high = own;
  while (low < high) {
    const std::int64_t middle = low + (high - low + 1) / 2;
    if (fits(middle))
      low = middle;
    else
      high = middle - 1;
  }
  fit.max_context_tokens = low;
  return fit;
}

}  // namespace mlxd
