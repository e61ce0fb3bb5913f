#include <utility>

#include "api/ollama/answer.h"
#include "api/ollama/profile_defaults.h"
#include "api/ollama/requests.h"
#include "server/generation_dialect.h"

namespace mlxd {
namespace {

namespace ollama = api::ollama;

GenerationDialect make_dialect(std::string path, ollama::OllamaAnswerEncoder::Kind kind) {
  GenerationDialect dialect;
  dialect.path = std::move(path);
  dialect.encoder = [kind](const api::GenerationCall& call, api::AnswerInfo info) {
    info.model = call.model;  // as it was asked for
    return std::unique_ptr<api::AnswerEncoder>(
        std::make_unique<ollama::OllamaAnswerEncoder>(ollama::OllamaAnswerEncoder::Options{
            .info = std::move(info), .kind = kind, .unload = call.keep_alive == Duration::zero()}));
  };
  dialect.media_type.clear();  // Ollama's own examples send curl's default
  dialect.field_names = {{"reasoning_effort", "think"}};
  return dialect;
}

}  // namespace

std::vector<GenerationDialect> ollama_dialects(bool strict) {
  using Kind = ollama::OllamaAnswerEncoder::Kind;
  std::vector<GenerationDialect> dialects;
  GenerationDialect chat = make_dialect("/api/chat", Kind::kChat);
  chat.decode = [strict](std::string_view body, api::UnknownFields unknown) {
    return ollama::decode_chat_request(body, strict, unknown);
  };
  chat.with_defaults = [](std::string_view body, const Profile& profile) {
    return ollama::with_profile_defaults(body, profile.defaults, ollama::ProfileUse::kChat);
  };
  dialects.push_back(std::move(chat));
  GenerationDialect generate = make_dialect("/api/generate", Kind::kGenerate);
  generate.decode = [strict](std::string_view body, api::UnknownFields unknown) {
    return ollama::decode_generate_request(body, strict, unknown);
  };
  generate.with_defaults = [](std::string_view body, const Profile& profile) {
    return ollama::with_profile_defaults(body, profile.defaults, ollama::ProfileUse::kGenerate);
  };
  dialects.push_back(std::move(generate));
  return dialects;
}

}  // namespace mlxd
