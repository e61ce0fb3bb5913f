// The perplexity of a text under a model: exp of the mean of −ln p(token | the tokens before it), each token
// of the text given to the model and the probability of the next one read off (teacher forcing), by the
// backend that serves. Runs on the caller's thread, in memory bounded by the model, one window's K/V and the
// text.
//
// Method (sliding windows, as in Hugging Face's guide "Perplexity of fixed-length models"): windows of
// `context_tokens` begin every `stride_tokens`; each is computed from nothing and scores the tokens that no
// window before it scored. So all but the first window's tokens have at least context_tokens − stride_tokens
// tokens before them. With stride = context windows do not overlap, as in mlx-lm. Where the tokenizer begins
// texts with a BOS, every window begins with one, which takes a place and is not scored; without one the
// first token of the text (and, of windows that do not overlap, of each) is not scored, having nothing before
// it.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/model_spec.h"

namespace mlxd {

/// Largest text taken; its tokens are held in memory.
inline constexpr std::size_t kMaxPerplexityTextBytes = std::size_t{16} << 20U;

struct PerplexityOptions {
  std::int32_t context_tokens = 0;  // of a window; 0: 1024, or the model's context if that is shorter
  std::int32_t stride_tokens = 0;   // 1 … what a window holds of the text; 0: half the context
  /// Everything in fp32, slowly, instead of the path that serves.
  bool reference = false;
  std::int32_t threads = 0;                     // 0: one for each core
  std::string kv_format{};                      // fp16, bf16 or int8; empty: fp16, or of the reference fp32
  std::int32_t activation_bits = 8;             // as in CpuOptions
  std::optional<Quantization> quantize{};       // as in ModelHostOptions
  std::filesystem::path adapter{};              // folder of an adapter of the model; empty: none
  std::function<void(double)> load_progress{};  // 0 … 1; may be empty
  std::function<void(double)> progress{};       // 0 … 1 over the windows; may be empty
  /// Ends the work with kCancelled within a second or so of being set; may be null.
  const std::atomic<bool>* stop = nullptr;
};

struct PerplexityReport {
  std::string backend;
  double perplexity = 0.0;
  /// Of the perplexity: perplexity · (deviation of −ln p) / √scored_tokens. Tokens count as independent.
  double standard_error = 0.0;
  double mean_loss = 0.0;  // −ln p, nat a token
  double bits_per_byte = 0.0;
  std::int64_t text_bytes = 0;
  std::int64_t text_tokens = 0;
  std::int64_t scored_tokens = 0;
  std::int64_t computed_tokens = 0;  // that went through the model, of all windows
  std::int64_t windows = 0;
  std::int32_t context_tokens = 0;
  std::int32_t stride_tokens = 0;
  bool has_bos = false;
  double load_seconds = 0.0;
  double seconds = 0.0;  // without loading
};

/// Errors: those of opening and loading `model`; kNotFound, kIo (the text); kInvalidArgument (context,
/// stride, a text that is empty, not UTF-8 or of fewer than two tokens); kTooLarge; kCorruptData if the model
/// gives a token of the text no finite probability; kCancelled.
Result<PerplexityReport> measure_perplexity(const std::filesystem::path& model,
                                            const std::filesystem::path& text,
                                            const PerplexityOptions& options);
/// The same of a text in memory, which messages call `name`.
Result<PerplexityReport> measure_text_perplexity(const std::filesystem::path& model, std::string_view text,
                                                 const std::string& name, const PerplexityOptions& options);

/// Tokens [begin, end) of a text; those of [first_scored, end) are scored.
struct PerplexityWindow {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t first_scored = 0;
  bool operator==(const PerplexityWindow&) const = default;
};
/// The windows over `num_tokens` tokens, of `capacity` tokens each (the context, without the BOS's place);
/// 1 ≤ stride ≤ capacity. The token at a window's begin is scored only with a BOS before it.
std::vector<PerplexityWindow> perplexity_windows(std::int64_t num_tokens, std::int64_t capacity,
                                                 std::int64_t stride, bool has_bos);

}  // namespace mlxd
