#include "api/ollama/answer.h"

#include <boost/json/parse.hpp>
#include <utility>

#include "api/json_text.h"
#include "api/ollama/error_body.h"
#include "api/openai/answer_parts.h"

namespace mlxd::api::ollama {
namespace {

constexpr std::size_t kMaxArgumentDepth = 256;

void append_text(std::string& out, std::string_view key, std::string_view text) {
  out += '"';
  out += key;
  out += "\":";
  append_json_string(out, text);
}

// Arguments are an object here; what a model wrote as something else still arrives.
void append_arguments(std::string& out, const std::string& arguments) {
  boost::json::error_code code;
  boost::json::parse_options options;
  options.max_depth = kMaxArgumentDepth;
  const boost::json::value value = boost::json::parse(arguments, code, {}, options);
  if (!code && value.is_object()) {
    // A stream's object is one line: outside of strings, where they are escaped, line breaks are space.
    for (const char c : arguments) out += c == '\n' || c == '\r' ? ' ' : c;
    return;
  }
  out += R"({"arguments":)";
  append_json_string(out, arguments);
  out += '}';
}

void append_token(std::string& out, std::string_view bytes, float logprob) {
  out += '{';
  append_text(out, "token", openai::token_name(bytes));
  out += R"(,"logprob":)";
  append_json_number(out, logprob);
  out += R"(,"bytes":[)";
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i > 0) out += ',';
    append_json_number(out, std::int64_t{static_cast<unsigned char>(bytes[i])});
  }
  out += ']';
}

void append_logprobs(std::string& out, const std::vector<TokenText>& tokens) {
  if (tokens.empty()) return;
  out += R"(,"logprobs":[)";
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) out += ',';
    append_token(out, tokens[i].bytes, tokens[i].logprob);
    if (!tokens[i].top.empty()) {
      out += R"(,"top_logprobs":[)";
      for (std::size_t k = 0; k < tokens[i].top.size(); ++k) {
        if (k > 0) out += ',';
        append_token(out, tokens[i].top[k].bytes, tokens[i].top[k].logprob);
        out += '}';
      }
      out += ']';
    }
    out += '}';
  }
  out += ']';
}

}  // namespace

OllamaAnswerEncoder::OllamaAnswerEncoder(Options options) : options_(std::move(options)) {}

void OllamaAnswerEncoder::add_piece(Said& said, const AnswerPiece& piece) {
  using Piece = AnswerPiece::Kind;
  switch (piece.kind) {
    case Piece::kContent:
    case Piece::kCallBroken:
      said.content += piece.text;
      break;
    case Piece::kReasoning:
      said.thinking += piece.text;
      break;
    case Piece::kCallBegin:
      call_id_ = piece.call_id;
      call_name_ = piece.name;
      call_arguments_.clear();
      break;
    case Piece::kCallArguments:
      call_arguments_ += piece.text;
      break;
    case Piece::kCallCut:
      break;  // its arguments are no object yet
    case Piece::kCallEnd:
      if (!said.calls.empty()) said.calls += ',';
      said.calls += '{';
      append_text(said.calls, "id", call_id_);
      said.calls += R"(,"function":{"index":)";
      append_json_number(said.calls, std::int64_t{num_calls_++});
      said.calls += ',';
      append_text(said.calls, "name", call_name_);
      said.calls += R"(,"arguments":)";
      append_arguments(said.calls, call_arguments_);
      said.calls += "}}";
      break;
  }
}

// Up to what follows the message or the response; without the closing brace.
void OllamaAnswerEncoder::append_head(std::string& out, const Said& said) const {
  const bool is_chat = options_.kind == Kind::kChat;
  out += '{';
  append_text(out, "model", options_.info.model);
  out += ',';
  append_text(out, "created_at", timestamp(options_.wall()));
  out += is_chat ? R"(,"message":{"role":"assistant",)" : ",";
  append_text(out, is_chat ? "content" : "response", said.content);
  if (!said.thinking.empty()) {
    out += ',';
    append_text(out, "thinking", said.thinking);
  }
  if (!said.calls.empty()) out += R"(,"tool_calls":[)" + said.calls + ']';
  if (is_chat) out += '}';
}

void OllamaAnswerEncoder::append_end(std::string& out, FinishReason finish, const Usage& usage) const {
  out += R"(,"done":true,)";
  append_text(out, "done_reason", finish == FinishReason::kLength ? "length" : "stop");
  const AnswerInfo& info = options_.info;
  append_member(out, "total_duration", (options_.clock->now() - info.arrived).count());
  append_member(out, "load_duration", (info.loaded - info.arrived).count());
  append_member(out, "prompt_eval_count", usage.prompt_tokens);
  append_member(out, "prompt_eval_duration", usage.prompt_time.count());
  append_member(out, "eval_count", usage.completion_tokens);
  append_member(out, "eval_duration", usage.generation_time.count());
  openai::append_cache(out, usage);
  out += '}';
}

std::string OllamaAnswerEncoder::whole(std::span<const Choice> choices, const Usage& usage) {
  std::string out;
  Said said;
  if (choices.empty()) {
    append_head(out, said);
    out += R"(,"done":true,"done_reason":)";
    out += options_.unload ? R"("unload"})" : R"("load"})";
    return out;
  }
  const Choice& choice = choices.front();
  for (const AnswerPiece& piece : choice.pieces) add_piece(said, piece);
  append_head(out, said);
  append_logprobs(out, choice.logprobs);
  append_end(out, choice.finish, usage);
  return out;
}

void OllamaAnswerEncoder::event(std::string& out, std::int32_t, const TextEvent& event, const Usage&) {
  Said said;
  for (const AnswerPiece& piece : event.pieces) add_piece(said, piece);
  if (event.finish) finish_ = *event.finish;
  if (said.empty() && event.logprobs.empty()) return;
  append_head(out, said);
  append_logprobs(out, event.logprobs);
  out += ",\"done\":false}\n";
}

void OllamaAnswerEncoder::end(std::string& out, const Usage& usage) {
  append_head(out, {});
  append_end(out, finish_, usage);
  out += '\n';
}

void OllamaAnswerEncoder::fail(std::string& out, const Error& error) {
  out += encode_error(error);
  out += '\n';
}

}  // namespace mlxd::api::ollama
