// A model as the handlers see it: what is needed to turn a call into tokens and tokens into an answer.
// Immutable.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "generation/generation_request.h"
#include "runtime/adapter_library.h"
#include "runtime/engine_thread.h"
#include "text/chat_format.h"
#include "text/grammar_library.h"
#include "text/tokenizer.h"

namespace mlxd {

struct ServedModel {
  std::string name;
  const Tokenizer* tokenizer = nullptr;
  const ChatFormat* chat_format = nullptr;  // nullptr: the model cannot chat
  GrammarLibrary* grammars = nullptr;       // nullptr: its answers cannot be given a form
  EngineThread* engine = nullptr;
  AdapterLibrary* adapters = nullptr;  // nullptr: the model has none
  std::vector<TokenId> eos_tokens;
  GenerationLimits limits;
  std::int64_t created = 0;  // seconds since 1970
  std::int64_t num_parameters = 0;
  double load_seconds = 0.0;
  std::shared_ptr<void> owner;  // keeps what the pointers name
};

using ServedModelPtr = std::shared_ptr<const ServedModel>;

/// What a request names: a model, and maybe an adapter of it.
struct AskedModel {
  ServedModelPtr model;
  AdapterLeasePtr adapter;  // or null

  /// "MODEL" or "MODEL+ADAPTER".
  std::string name() const { return adapter ? model->name + "+" + adapter->name : model->name; }
};

}  // namespace mlxd
