// A route that generates, as one API has it: a decoder and an encoder; everything between is the same for
// all. Values.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/answer_encoder.h"
#include "api/generation_call.h"
#include "base/result.h"
#include "generation/generation_request.h"
#include "http/message.h"
#include "server/served_model.h"
#include "store/profile_store.h"

namespace mlxd {

struct GenerationDialect {
  std::string path;
  std::function<Result<api::GenerationCall>(std::string_view body)> decode;
  std::function<std::unique_ptr<api::AnswerEncoder>(const api::GenerationCall& call, api::AnswerInfo info)>
      encoder = {};
  /// A body with what a profile says where it says nothing itself.
  std::function<std::string(std::string_view body, const Profile& profile)> with_defaults = {};
  Priority priority = Priority::kNormal;
  /// Set: the answer comes from the call and its model without generating, on a text worker or the pool's
  /// thread; `encoder` is not needed.
  std::function<Result<http::Response>(const api::GenerationCall& call, const ServedModel& model)> answer =
      {};
};

/// Of all APIs. `strict`: fields that are unknown are refused.
std::vector<GenerationDialect> generation_dialects(bool strict);

/// Choices of an answer, all prompts' together.
std::int32_t total_choices(const api::GenerationCall& call);

/// POST /v1/messages, the same at LOW priority below /v1/batch, and /v1/messages/count_tokens.
std::vector<GenerationDialect> anthropic_dialects(bool strict);

/// POST /v1/tokenize and /v1/detokenize.
std::vector<GenerationDialect> token_dialects(bool strict);

/// POST /v1/chat/completions and /v1/completions, and the same at LOW priority below /v1/batch.
std::vector<GenerationDialect> openai_dialects(bool strict);

}  // namespace mlxd
