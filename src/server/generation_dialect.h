// A route that generates, as one API has it: a decoder and an encoder; everything between is the same for
// all. Values.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/answer_encoder.h"
#include "api/generation_call.h"
#include "base/result.h"
#include "generation/generation_request.h"
#include "store/profile_store.h"

namespace mlxd {

struct GenerationDialect {
  std::string path;
  std::function<Result<api::GenerationCall>(std::string_view body)> decode;
  std::function<std::unique_ptr<api::AnswerEncoder>(const api::GenerationCall& call, api::AnswerInfo info)>
      encoder;
  /// A body with what a profile says where it says nothing itself.
  std::function<std::string(std::string_view body, const Profile& profile)> with_defaults;
  Priority priority = Priority::kNormal;
  std::string media_type = "application/json";  // of the body; empty: any
  /// What it calls the fields of a call that errors name otherwise: ("response_format", "format").
  std::vector<std::pair<std::string, std::string>> field_names = {};
};

/// Of all APIs. `strict`: fields that are unknown are refused.
std::vector<GenerationDialect> generation_dialects(bool strict);

/// Choices of an answer, all prompts' together.
std::int32_t total_choices(const api::GenerationCall& call);

/// POST /v1/chat/completions and /v1/completions, and the same at LOW priority below /v1/batch.
std::vector<GenerationDialect> openai_dialects(bool strict);

/// POST /api/chat and /api/generate.
std::vector<GenerationDialect> ollama_dialects(bool strict);

}  // namespace mlxd
