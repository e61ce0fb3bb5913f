// A loaded model: folder, tokenizer, chat template and engine thread under one owner. Thread-safe after
// loading.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/step_profile.h"
#include "generation/generation_request.h"
#include "model/model_folder.h"
#include "runtime/adapter_library.h"
#include "runtime/adapter_places.h"
#include "runtime/engine_thread.h"
#include "runtime/memory_needs.h"
#include "text/chat_format.h"
#include "text/grammar_library.h"
#include "text/tokenizer.h"

namespace mlxd {

class ThreadPool;

/// The part that a model has in memory shared with others.
struct MemoryShare {
  std::size_t budget_bytes = SIZE_MAX;  // most that it can ever have
  /// K/V for a context longer than the usual may take so much without being asked for.
  std::size_t context_bytes = 0;
  /// Called once on the engine's thread, when weights and scratch are there: the quota it gets, at least
  /// `least_bytes`.
  std::function<Result<std::size_t>(const MemoryNeeds&)> choose_quota = {};
};

struct ModelHostOptions {
  std::string backend = "auto";     // auto | cpu
  std::int32_t threads = 0;         // 0: one per core
  std::int32_t context_tokens = 0;  // 0: the model's own; larger than the model's is an error
  /// Quota for weights, K/V pages and scratch together; 0: none.
  std::size_t memory_bytes = 0;
  std::size_t kv_bytes = 0;  // for K/V pages; 0: what memory_bytes leaves, or else a default (see kv_plan.h)
  std::string kv_format = "fp16";    // fp16 | bf16 | int8
  std::int32_t activation_bits = 8;  // that meet quantized weights: 8 | 16
  /// What dense layers become when they are loaded; absent: they stay. Not those of the draft model.
  std::optional<Quantization> quantize{};
  /// Back K/V with memory at once, so that resident memory does not grow with use.
  bool touch_pages = false;
  std::int32_t max_running = 64;
  double gap_ratio = EngineOptions{}.gap_ratio;
  bool profile = false;  // see ModelHost::profile
  std::string speculation =
      "auto";  // auto | off | lookup | draft; auto: draft with a draft model, else lookup
  /// Folder of a small model of the same vocabulary that drafts for this one; empty: none. Its weights, pages
  /// and scratch count with the model's.
  std::filesystem::path draft_model;
  AdapterPlaces adapters = {};  // where adapters are looked for, beside the model's own folder
  std::size_t adapter_bytes = std::size_t{1} << 30U;  // most for loaded adapters; part of memory_bytes
  std::function<void(float)> progress;                // 0 … 1 while loading
  /// Threads of several models, which take turns by the step; in place of `threads`.
  std::shared_ptr<ThreadPool> compute_threads = {};
  /// Loading ends with kCancelled when it is set; may be null.
  const std::atomic<bool>* stop = nullptr;
  /// If set, the model shares memory with others, and memory_bytes and kv_bytes say nothing.
  std::optional<MemoryShare> share = {};
};

/// Threads for ModelHostOptions::compute_threads; 0: one per core.
std::shared_ptr<ThreadPool> make_compute_threads(std::int32_t num_threads);

/// What loading a folder will take, by its configuration and its files' headers. Errors: those of opening it.
/// `measured_fixed_bytes`: what it took beside K/V when it was loaded before; 0: not known.
Result<MemoryNeeds> estimate_needs(const std::filesystem::path& folder, const ModelHostOptions& options,
                                   std::size_t measured_fixed_bytes = 0);

class ModelHost {
 public:
  /// Errors: of the folder; kInvalidArgument (an option, a context longer than the model's); kOutOfMemory;
  /// kCancelled (stopped).
  static Result<std::unique_ptr<ModelHost>> load(const std::filesystem::path& folder,
                                                 ModelHostOptions options);
  ~ModelHost();

  const std::string& name() const;  // the folder's name
  const std::filesystem::path& path() const;
  const ModelSpec& spec() const;
  std::int64_t num_parameters() const;
  const Tokenizer& tokenizer() const;
  const ChatFormat* chat_format() const;  // nullptr: the folder has no template
  GrammarLibrary& grammars() const;
  const std::vector<TokenId>& eos_tokens() const;  // the configuration's and the family's
  GenerationLimits limits() const;
  /// Of a model that shares memory.
  const MemoryNeeds& memory_needs() const;
  /// Changes the quota for weights, K/V pages and scratch while running; see EngineThread::resize. Any thread
  /// but the engine's. Errors: kOutOfMemory if it cannot hold one page beside the weights, with both numbers.
  Result<void> set_memory_bytes(std::size_t memory_bytes);
  double load_seconds() const;
  std::int64_t loaded_at() const;  // seconds since 1970

  EngineThread& engine() const;
  AdapterLibrary& adapters() const;
  /// Where the time of the engine's steps goes; null if not asked for.
  const StepProfile* profile() const;

 private:
  struct Impl;
  explicit ModelHost(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mlxd
