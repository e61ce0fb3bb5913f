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
#include "api/field_reader.h"
#include "api/generation_call.h"
#include "base/result.h"
#include "generation/generation_request.h"
#include "http/message.h"
#include "server/caller.h"
#include "server/served_model.h"
#include "store/profile_store.h"

namespace mlxd {

class ResponseArchive;

struct GenerationDialect {
  std::string path;
  std::function<Result<api::GenerationCall>(std::string_view body, api::UnknownFields unknown)> decode;
  std::function<std::unique_ptr<api::AnswerEncoder>(const api::GenerationCall& call, api::AnswerInfo info)>
      encoder = {};
  /// A body with what a profile says where it says nothing itself.
  std::function<std::string(std::string_view body, const Profile& profile)> with_defaults = {};
  Priority priority = Priority::kNormal;
  /// Set: the answer comes from the call and its model without generating, on a text worker or the pool's
  /// thread; `encoder` is not needed.
  std::function<Result<http::Response>(const api::GenerationCall& call, const ServedModel& model)> answer =
      {};
  /// Adds to a decoded call what is stored for it; on a text worker. May be empty.
  std::function<Result<void>(api::GenerationCall& call, const Caller& caller)> look_up = {};
  std::string media_type = "application/json";  // of the body; empty: any
  /// Fields that are called otherwise here than where a model refuses them: their name there, and here.
  std::vector<std::pair<std::string, std::string>> field_names = {};
};

struct DialectOptions {
  bool strict = false;  // keys inside messages that nothing reads are refused
  ResponseArchive* responses = nullptr;
};
/// Of all APIs.
std::vector<GenerationDialect> generation_dialects(const DialectOptions& options);

/// `error` in the dialect's own words.
Error in_words_of(const GenerationDialect& dialect, Error error);

/// Choices of an answer, all prompts' together.
std::int32_t total_choices(const api::GenerationCall& call);

/// POST /v1/messages, the same at LOW priority below /v1/batch, and /v1/messages/count_tokens.
std::vector<GenerationDialect> anthropic_dialects(bool strict);

/// POST /v1/tokenize and /v1/detokenize.
std::vector<GenerationDialect> token_dialects(bool strict);

/// POST /v1/chat/completions and /v1/completions, and the same at LOW priority below /v1/batch.
std::vector<GenerationDialect> openai_dialects(bool strict);
/// POST /v1/responses, the same at LOW priority, and /v1/responses/input_tokens. `archive` (not null)
/// outlives them.
std::vector<GenerationDialect> responses_dialects(bool strict, ResponseArchive* archive);

/// POST /api/chat and /api/generate.
std::vector<GenerationDialect> ollama_dialects(bool strict);

}  // namespace mlxd
