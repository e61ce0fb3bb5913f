// A loaded model: folder, tokenizer, chat template and engine thread under one owner. Thread-safe after
// loading.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "generation/generation_request.h"
#include "model/model_folder.h"
#include "runtime/engine_thread.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace mlxd {

struct ModelHostOptions {
  std::string backend = "auto";     // auto | cpu
  std::int32_t threads = 0;         // 0: one per core
  std::int32_t context_tokens = 0;  // 0: the model's own; larger than the model's is an error
  std::size_t kv_bytes = 0;         // 0: enough for a default crowd (see the .cpp)
  std::int32_t max_running = 64;
  std::function<void(float)> progress;  // 0 … 1 while loading
};

class ModelHost {
 public:
  static Result<std::unique_ptr<ModelHost>> load(const std::filesystem::path& folder,
                                                 ModelHostOptions options);
  ~ModelHost();

  const std::string& name() const;  // the folder's name
  const std::filesystem::path& path() const;
  const ModelSpec& spec() const;
  std::int64_t num_parameters() const;
  const Tokenizer& tokenizer() const;
  const ChatTemplate* chat_template() const;  // nullptr: the folder has none
  const std::vector<TokenId>& eos_tokens() const;
  GenerationLimits limits() const;
  double load_seconds() const;
  std::int64_t loaded_at() const;  // seconds since 1970

  EngineThread& engine() const;

 private:
  struct Impl;
  explicit ModelHost(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mlxd
