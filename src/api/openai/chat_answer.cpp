#include "api/openai/chat_answer.h"

#include <utility>

#include "api/json_text.h"
#include "api/openai/answer_parts.h"

namespace mlxd::api::openai {
namespace {

constexpr std::string_view kIdPrefix = "chatcmpl-";

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

void append_logprobs(std::string& out, bool asked, const std::vector<TokenText>& tokens) {
  out += R"("logprobs":)";
  if (!asked) {
    out += "null";
    return;
  }
  out += R"({"content":[)";
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) out += ',';
    append_token(out, tokens[i].bytes, tokens[i].logprob);
    out += R"(,"top_logprobs":[)";
    for (std::size_t k = 0; k < tokens[i].top.size(); ++k) {
      if (k > 0) out += ',';
      append_token(out, tokens[i].top[k].bytes, tokens[i].top[k].logprob);
      out += '}';
    }
    out += "]}";
  }
  out += R"(],"refusal":null})";
}

}  // namespace

ChatAnswerEncoder::ChatAnswerEncoder(Options options)
    : options_(std::move(options)),
      chunk_head_("data: " + answer_head(options_.info, kIdPrefix, "chat.completion.chunk") +
                  R"(,"choices":[{"index":)") {}

std::string ChatAnswerEncoder::whole(std::span<const Choice> choices, const Usage& usage) {
  std::string out = answer_head(options_.info, kIdPrefix, "chat.completion");
  out += R"(,"choices":[)";
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (i > 0) out += ',';
    out += R"({"index":)";
    append_json_number(out, static_cast<std::int64_t>(i));
    out += R"(,"message":{"role":"assistant","content":)";
    append_json_string(out, choices[i].text);
    out += R"(,"refusal":null},)";
    append_logprobs(out, options_.logprobs, choices[i].logprobs);
    out += R"(,"finish_reason":)";
    append_json_string(out, to_string(choices[i].finish));
    out += '}';
  }
  out += R"(],"usage":)";
  append_usage(out, usage);
  append_cache(out, usage);
  out += '}';
  return out;
}

void ChatAnswerEncoder::open_chunk(std::string& out, std::int32_t choice) const {
  out += chunk_head_;
  append_json_number(out, std::int64_t{choice});
}

void ChatAnswerEncoder::close_chunk(std::string& out) const {
  out += options_.include_usage ? "}],\"usage\":null}\n\n" : "}]}\n\n";
}

void ChatAnswerEncoder::begin(std::string& out) {
  for (std::int32_t choice = 0; choice < options_.num_choices; ++choice) {
    open_chunk(out, choice);
    out +=
        R"(,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null)";
    close_chunk(out);
  }
}

void ChatAnswerEncoder::event(std::string& out, std::int32_t choice, const TextEvent& event) {
  if (!event.text.empty() || !event.logprobs.empty()) {
    open_chunk(out, choice);
    out += R"(,"delta":{"content":)";
    append_json_string(out, event.text);
    out += "},";
    append_logprobs(out, options_.logprobs, event.logprobs);
    out += R"(,"finish_reason":null)";
    close_chunk(out);
  }
  if (event.finish) {
    open_chunk(out, choice);
    out += R"(,"delta":{},"logprobs":null,"finish_reason":)";
    append_json_string(out, to_string(*event.finish));
    close_chunk(out);
  }
}

void ChatAnswerEncoder::end(std::string& out, const Usage& usage) {
  if (options_.include_usage || !usage.cache.empty()) {
    out += "data: ";
    out += answer_head(options_.info, kIdPrefix, "chat.completion.chunk");
    out += R"(,"choices":[],"usage":)";
    if (options_.include_usage)
      append_usage(out, usage);
    else
      out += "null";
    append_cache(out, usage);
    out += "}\n\n";
  }
  out += "data: [DONE]\n\n";
}

void ChatAnswerEncoder::fail(std::string& out, const Error& error) { append_error_event(out, error); }

}  // namespace mlxd::api::openai
