// Test helper: a model whose answers are known. Real tokenizer, template, engine and pages; a fake backend
// that says its answer (kAnswer) byte by byte after the prompt's last '|' (or after a chat's last turn), or
// 'x' for ever after "L|".
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "engine/testing/fake_backend.h"
#include "model/testing/synthetic_model.h"
#include "server/pooled_model.h"
#include "server/served_model.h"

namespace mlxd::testing {

/// Characters of one to four bytes, each byte a token of its own.
inline constexpr std::string_view kAnswer = "Héllo wörld, a 𝄞 and then: full STOP here, the end.";

/// Holds a backend's steps back until opened.
class Gate {
 public:
  void open() {
    const MutexLock lock(mutex_);
    open_ = true;
    opened_.notify_all();
  }
  void pass() {
    const MutexLock lock(mutex_);
    while (!open_) opened_.wait(mutex_);
  }

 private:
  Mutex mutex_;
  CondVar opened_;
  bool open_ GUARDED_BY(mutex_) = false;
};

struct ScriptedModelOptions {
  std::string name = "scripted";
  std::int32_t context_tokens = 4096;
  std::int32_t num_pages = 4096;
  std::int32_t max_running = 64;
  std::int32_t max_waiting = 1024;
  bool chat = true;
  std::string answer{kAnswer};  // without a '|'
  std::function<Result<void>(const StepBatch&)> on_submit = {};
  SpeculationOptions speculation = {};
};

inline TokenId scripted_token(std::span<const TokenId> prefix, std::string_view answer = kAnswer) {
  constexpr std::size_t kTurnHeader = std::string_view("assistant\n").size();
  for (std::size_t i = prefix.size(); i-- > 0;) {
    std::size_t said = 0;
    if (prefix[i] == '|') {
      said = prefix.size() - 1 - i;
      if (i > 0 && prefix[i - 1] == 'L') return 'x';
    } else if (prefix[i] == kSyntheticTurnStartToken) {
      if (prefix.size() - 1 - i < kTurnHeader) return kSyntheticEosToken;
      said = prefix.size() - 1 - i - kTurnHeader;
    } else {
      continue;
    }
    return said < answer.size() ? static_cast<unsigned char>(answer[said]) : kSyntheticEosToken;
  }
  return kSyntheticEosToken;
}

inline ServedModelPtr make_scripted_model(ScriptedModelOptions options) {
  struct Owner {
    TemporaryFolder folder;
    std::optional<Tokenizer> tokenizer;
    std::optional<ChatFormat> chat_format;
    std::optional<GrammarLibrary> grammars;
    std::unique_ptr<EngineThread> engine;
  };
  auto owner = std::make_shared<Owner>();
  write_synthetic_model(owner->folder.path(), {}).value();
  owner->tokenizer = Tokenizer::open(owner->folder.path()).take_value();
  owner->chat_format = ChatFormat::open(owner->folder.path(), *owner->tokenizer).take_value();
  constexpr std::int32_t kVocabSize = 320;
  const std::vector<TokenId> eos_tokens{kSyntheticEosToken, kSyntheticTurnEndToken};
  owner->grammars.emplace(*owner->tokenizer, kVocabSize, eos_tokens);
  FakeBackend::Options backend;
  backend.vocab_size = kVocabSize;
  backend.script = [answer = options.answer](std::span<const TokenId> prefix) {
    return scripted_token(prefix, answer);
  };
  backend.on_submit = std::move(options.on_submit);
  EngineOptions engine;
  engine.num_pages = options.num_pages;
  engine.max_running = options.max_running;
  engine.max_waiting = options.max_waiting;
  engine.speculation = options.speculation;
  owner->engine = EngineThread::start(
                      [backend]() -> Result<std::unique_ptr<Backend>> {
                        return std::unique_ptr<Backend>(std::make_unique<FakeBackend>(backend));
                      },
                      engine)
                      .take_value();
  auto model = std::make_shared<ServedModel>();
  model->name = std::move(options.name);
  model->tokenizer = &*owner->tokenizer;
  model->chat_format = options.chat ? &*owner->chat_format : nullptr;
  model->grammars = &*owner->grammars;
  model->engine = owner->engine.get();
  model->eos_tokens = eos_tokens;
  model->limits = {.vocab_size = kVocabSize, .context_tokens = options.context_tokens};
  model->created = 1700000000;
  model->owner = owner;
  return model;
}

/// A pool whose folders are loaded by `load`; each takes `bytes` of its budget.
inline ModelPool::Options scripted_pool(
    std::function<Result<ServedModelPtr>(const std::filesystem::path& folder)> load,
    const PoolSettings& settings = {}, std::size_t bytes = 1000) {
  const MemoryNeeds needs{bytes, bytes, bytes, bytes};
  ModelPool::Options pool;
  pool.settings = settings;
  pool.load = [load = std::move(load), needs](
                  const ModelSource& source,
                  ModelPool::Load& loading) -> Result<std::unique_ptr<PooledModel>> {
    ServedModelPtr model = TRY(load(source.folder));
    TRY(loading.settle(needs));
    return std::unique_ptr<PooledModel>(std::make_unique<ServedPooledModel>(std::move(model), nullptr));
  };
  pool.estimate = [needs](const ModelSource&, const PoolSettings&, std::size_t) -> Result<MemoryNeeds> {
    return needs;
  };
  return pool;
}
/// A pool that has only what is put into it.
inline ModelPool::Options scripted_pool() {
  return scripted_pool([](const auto&) -> Result<ServedModelPtr> { return not_found("no such model"); });
}

}  // namespace mlxd::testing
