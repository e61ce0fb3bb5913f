// A call's prompts as a model's tokens: what generation begins with, and what counting counts.
#pragma once

#include <optional>
#include <vector>

#include "api/generation_call.h"
#include "base/result.h"
#include "generation/token.h"
#include "server/served_model.h"
#include "text/chat_format.h"

namespace mlxd {

struct TokenizedPrompts {
  /// As the call has them; of a chat one. At least one.
  std::vector<std::vector<TokenId>> prompts;
  /// Of a chat: how its answers are written. Its text is empty.
  std::optional<ChatFormat::Prompt> chat;
  std::vector<TokenId> end_tokens;       // end these prompts' answers, beside the model's own
  std::size_t num_dropped_messages = 0;  // of a chat that was too long and begins later than it says
};

enum class PromptSize {
  kFits,  // leaves room in the context
  kAny,   // as far as tokenizing it takes no more memory than one that fits could
};

/// Errors name the call's prompt_field; kTooLarge: a prompt that leaves no room in the context, with both
/// numbers. On a text worker.
Result<TokenizedPrompts> tokenize_prompts(const api::GenerationCall& call, const ServedModel& model,
                                          PromptSize size = PromptSize::kFits);

}  // namespace mlxd
