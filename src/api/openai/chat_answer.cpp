#include "api/openai/chat_answer.h"

#include <utility>

#include "api/collected_answer.h"
#include "api/json_text.h"
#include "api/openai/answer_parts.h"

namespace mlxd::api::openai {
namespace {

constexpr std::string_view kIdPrefix = "chatcmpl-";

void append_logprobs(std::string& out, bool asked, const std::vector<TokenText>& tokens) {
  out += R"("logprobs":)";
  if (!asked) {
    out += "null";
    return;
  }
  out += R"({"content":[)";
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) out += ',';
    append_token_logprob(out, tokens[i]);
  }
  out += R"(],"refusal":null})";
}

void append_text(std::string& out, std::string_view key, std::string_view text) {
  out += '"';
  out += key;
  out += "\":";
  append_json_string(out, text);
}

// Clients look for it under either name.
void append_reasoning(std::string& out, std::string_view text) {
  append_text(out, "reasoning_content", text);
  out += ',';
  append_text(out, "reasoning", text);
}

void append_message(std::string& out, const CollectedAnswer& answer) {
  if (answer.content.empty() && !answer.tool_calls.empty())
    out += R"("content":null)";
  else
    append_text(out, "content", answer.content);
  if (!answer.reasoning.empty()) {
    out += ',';
    append_reasoning(out, answer.reasoning);
  }
  if (answer.tool_calls.empty()) return;
  out += R"(,"tool_calls":[)";
  for (std::size_t i = 0; i < answer.tool_calls.size(); ++i) {
    if (i > 0) out += ',';
    out += '{';
    append_text(out, "id", answer.tool_calls[i].id);
    out += R"(,"type":"function","function":{)";
    append_text(out, "name", answer.tool_calls[i].name);
    out += ',';
    append_text(out, "arguments", answer.tool_calls[i].arguments);
    out += "}}";
  }
  out += ']';
}

void append_delta(std::string& out, const AnswerPiece& piece) {
  using Kind = AnswerPiece::Kind;
  switch (piece.kind) {
    case Kind::kContent:
    case Kind::kCallBroken:
      append_text(out, "content", piece.text);
      break;
    case Kind::kReasoning:
      append_reasoning(out, piece.text);
      break;
    case Kind::kCallBegin:
    case Kind::kCallArguments:
      out += R"("tool_calls":[{"index":)";
      append_json_number(out, std::int64_t{piece.call});
      out += ',';
      if (piece.kind == Kind::kCallBegin) {
        append_text(out, "id", piece.call_id);
        out += R"(,"type":"function","function":{)";
        append_text(out, "name", piece.name);
        out += ',';
      } else {
        out += R"("function":{)";
      }
      append_text(out, "arguments", piece.text);
      out += "}}]";
      break;
    case Kind::kCallEnd:
    case Kind::kCallCut:
      break;
  }
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
    out += R"(,"message":{"role":"assistant",)";
    append_message(out, collect(choices[i].pieces));
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

void ChatAnswerEncoder::append_piece_chunk(std::string& out, std::int32_t choice, const AnswerPiece& piece,
                                           const std::vector<TokenText>& logprobs) const {
  open_chunk(out, choice);
  out += R"(,"delta":{)";
  append_delta(out, piece);
  out += "},";
  append_logprobs(out, options_.logprobs, logprobs);
  out += R"(,"finish_reason":null)";
  close_chunk(out);
}

void ChatAnswerEncoder::event(std::string& out, std::int32_t choice, const TextEvent& event,
                              const Usage& /*so_far*/) {
  // Log-probabilities go with the first chunk.
  bool first = true;
  for (const AnswerPiece& piece : event.pieces) {
    if (piece.kind == AnswerPiece::Kind::kCallEnd || piece.kind == AnswerPiece::Kind::kCallCut) continue;
    append_piece_chunk(out, choice, piece, first ? event.logprobs : std::vector<TokenText>());
    first = false;
  }
  if (first && !event.logprobs.empty()) append_piece_chunk(out, choice, AnswerPiece(), event.logprobs);
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
