#include "api/openai/answer_parts.h"

#include "api/error_status.h"
#include "api/json_text.h"
#include "api/openai/error_body.h"

namespace mlxd::api::openai {

std::string answer_head(const AnswerInfo& info, std::string_view id_prefix, std::string_view object) {
  std::string head = R"({"id":)";
  append_json_string(head, std::string(id_prefix) + info.id);
  head += R"(,"object":)";
  append_json_string(head, object);
  head += R"(,"created":)";
  append_json_number(head, info.created);
  head += R"(,"model":)";
  append_json_string(head, info.model);
  head += R"(,"system_fingerprint":)";
  append_json_string(head, info.fingerprint);
  return head;
}

void append_usage(std::string& out, const Usage& usage) {
  out += R"({"prompt_tokens":)";
  append_json_number(out, std::int64_t{usage.prompt_tokens});
  out += R"(,"completion_tokens":)";
  append_json_number(out, std::int64_t{usage.completion_tokens});
  out += R"(,"total_tokens":)";
  append_json_number(out, std::int64_t{usage.total_tokens()});
  out += R"(,"prompt_tokens_details":{"cached_tokens":)";
  append_json_number(out, std::int64_t{usage.cached_prompt_tokens});
  out += '}';
  if (usage.prediction || usage.reasoning_tokens > 0) {
    out += R"(,"completion_tokens_details":{)";
    if (usage.reasoning_tokens > 0) {
      out += R"("reasoning_tokens":)";
      append_json_number(out, std::int64_t{usage.reasoning_tokens});
      if (usage.prediction) out += ',';
    }
    if (usage.prediction) {
      out += R"("accepted_prediction_tokens":)";
      append_json_number(out, std::int64_t{usage.prediction->accepted_tokens});
      out += R"(,"rejected_prediction_tokens":)";
      append_json_number(out, std::int64_t{usage.prediction->rejected_tokens});
    }
    out += '}';
  }
  out += '}';
}

namespace {

void append_explanation(std::string& out, const CacheExplanation& cache) {
  out += R"({"prompt_tokens":)";
  append_json_number(out, std::int64_t{cache.prompt_tokens});
  out += R"(,"cached_tokens":)";
  append_json_number(out, std::int64_t{cache.cached_tokens});
  out += R"(,"outcome":)";
  append_json_string(out, to_string(cache.outcome));
  if (cache.outcome == CacheOutcome::kDiverged || cache.outcome == CacheOutcome::kEnded) {
    out += R"(,"position":)";
    append_json_number(out, std::int64_t{cache.position});
    out += R"(,"prompt_before":)";
    append_json_string(out, cache.prompt_before);
    out += R"(,"prompt_after":)";
    append_json_string(out, cache.prompt_after);
  }
  if (cache.outcome == CacheOutcome::kDiverged) {
    out += R"(,"cached_after":)";
    if (cache.same_client)
      append_json_string(out, cache.cached_after);
    else
      out += "null";
  }
  out += '}';
}

}  // namespace

void append_cache(std::string& out, const Usage& usage) {
  if (usage.cache.empty()) return;
  out += R"(,"mlxd":{"cache":)";
  if (usage.cache.size() > 1) out += '[';
  for (std::size_t i = 0; i < usage.cache.size(); ++i) {
    if (i > 0) out += ',';
    append_explanation(out, usage.cache[i]);
  }
  if (usage.cache.size() > 1) out += ']';
  out += '}';
}

std::string token_name(std::string_view bytes) {
  if (is_valid_utf8(bytes)) return std::string(bytes);
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string name;
  for (const char c : bytes) {
    const auto code = static_cast<unsigned char>(c);
    name += "\\x";
    name += kDigits[code >> 4U];
    name += kDigits[code & 15U];
  }
  return name;
}

namespace {

void append_token(std::string& out, std::string_view bytes, float logprob) {
  out += R"({"token":)";
  append_json_string(out, token_name(bytes));
  out += R"(,"logprob":)";
  append_json_number(out, logprob);
  out += R"(,"bytes":[)";
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i > 0) out += ',';
    append_json_number(out, std::int64_t{static_cast<unsigned char>(bytes[i])});
  }
  out += ']';
}

}  // namespace

void append_token_logprob(std::string& out, const TokenText& token) {
  append_token(out, token.bytes, token.logprob);
  out += R"(,"top_logprobs":[)";
  for (std::size_t k = 0; k < token.top.size(); ++k) {
    if (k > 0) out += ',';
    append_token(out, token.top[k].bytes, token.top[k].logprob);
    out += '}';
  }
  out += "]}";
}

void append_error_event(std::string& out, const Error& error) {
  out += "data: ";
  out += encode_error(status_of(error.kind), error);
  out += "\n\n";
}

}  // namespace mlxd::api::openai
