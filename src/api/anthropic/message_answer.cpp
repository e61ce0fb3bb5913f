#include "api/anthropic/message_answer.h"
#include "api/anthropic/block_id.h"

#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cstdio>
#include <utility>

#include "api/anthropic/error_body.h"
#include "api/error_status.h"
#include "api/json_text.h"
#include "api/openai/answer_parts.h"
#include "base/fnv_hash.h"

namespace mlxd::api::anthropic {
namespace {

using Kind = AnswerPiece::Kind;

constexpr std::int32_t kSilentEventsPerPing = 64;

void append_event(std::string& out, std::string_view name, std::string_view data) {
  out += "event: ";
  out += name;
  out += "\ndata: ";
  out += data;
  out += "\n\n";
}

// Input tokens are those that were not read from the cache, as Anthropic counts them.
void append_counts(std::string& out, const Usage& usage) {
  out += R"({"input_tokens":)";
  append_json_number(out, std::int64_t{usage.prompt_tokens} - usage.cached_prompt_tokens);
  out += R"(,"cache_creation_input_tokens":0,"cache_read_input_tokens":)";
  append_json_number(out, std::int64_t{usage.cached_prompt_tokens});
  out += R"(,"output_tokens":)";
  append_json_number(out, std::int64_t{usage.completion_tokens});
  out += R"(,"output_tokens_details":{"thinking_tokens":)";
  append_json_number(out, std::int64_t{usage.reasoning_tokens});
  out += R"(},"server_tool_use":null)";
}

void append_usage(std::string& out, const Usage& usage) {
  append_counts(out, usage);
  out +=
      R"(,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"service_tier":"standard","inference_geo":null,"speed":null})";
}

/// {"id":"msg_…",… up to the content.
std::string message_head(const AnswerInfo& info) {
  std::string head = R"({"id":)";
  append_json_string(head, "msg_" + info.id);
  head += R"(,"type":"message","role":"assistant","model":)";
  append_json_string(head, info.model);
  head += R"(,"container":null,"diagnostics":null,"content":[)";
  return head;
}

/// Clients send it back with the block; nothing here has to prove where a thought comes from.
std::string signature_of(std::string_view thinking) {
  std::array<char, 20> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(fnv_hash(thinking)));
  return text.data();
}

/// Input of a call that the answer's length cut off: a part of its arguments must not be taken for all.
constexpr std::string_view kNoInput = "{}";

/// A call's arguments as the object that a block's input has to be.
std::string input_of(const std::string& arguments) {
  boost::json::error_code code;
  boost::json::parse_options deep;
  deep.max_depth = 256;
  const boost::json::value value = boost::json::parse(arguments, code, {}, deep);
  if (!code && value.is_object()) return arguments;
  if (arguments.find_first_not_of(" \t\r\n") == std::string::npos) return "{}";
  std::string input = R"({"arguments":)";
  append_json_string(input, arguments);
  return input + "}";
}

void append_text_block(std::string& out, std::string_view text) {
  out += R"({"type":"text","text":)";
  append_json_string(out, text);
  out += '}';
}

void append_thinking_block(std::string& out, std::string_view thinking, std::string_view signature) {
  out += R"({"type":"thinking","thinking":)";
  append_json_string(out, thinking);
  out += R"(,"signature":)";
  append_json_string(out, signature);
  out += '}';
}

void append_call_block(std::string& out, const AnswerPiece& call, std::string_view input) {
  out += R"({"type":"tool_use","id":)";
  append_json_string(out, block_id(call.call_id));
  out += R"(,"name":)";
  append_json_string(out, call.name);
  out += R"(,"input":)";
  out += input;
  out += R"(,"caller":{"type":"direct"}})";
}

/// Blocks of a whole answer, in the order in which they were written.
class BlockList {
 public:
  BlockList(std::string& out, bool hides_thinking) : out_(out), hides_thinking_(hides_thinking) {}

  void take(const AnswerPiece& piece) {
    switch (piece.kind) {
      case Kind::kContent:
      case Kind::kCallBroken:
        finish_thinking();
        text_ += piece.text;
        break;
      case Kind::kReasoning:
        finish_text();
        thinking_ += piece.text;
        break;
      case Kind::kCallBegin:
        call_ = piece;
        arguments_.clear();
        break;
      case Kind::kCallArguments:
        arguments_ += piece.text;
        break;
      case Kind::kCallEnd:
        finish();
        begin_block();
        append_call_block(out_, call_, input_of(arguments_));
        break;
      case Kind::kCallCut:
        finish();
        begin_block();
        append_call_block(out_, call_, kNoInput);
        break;
    }
  }
  void finish() {
    finish_text();
    finish_thinking();
  }

 private:
  void begin_block() {
    if (has_blocks_) out_ += ',';
    has_blocks_ = true;
  }
  void finish_text() {
    if (text_.empty()) return;
    begin_block();
    append_text_block(out_, text_);
    text_.clear();
  }
  void finish_thinking() {
    if (thinking_.empty()) return;
    begin_block();
    append_thinking_block(out_, hides_thinking_ ? std::string_view() : std::string_view(thinking_),
                          signature_of(thinking_));
    thinking_.clear();
  }

  std::string& out_;
  const bool hides_thinking_;
  bool has_blocks_ = false;
  std::string text_, thinking_, arguments_;
  AnswerPiece call_;
};

}  // namespace

void MessageAnswerEncoder::append_stop(std::string& out, FinishReason finish, const std::string& matched_stop,
                                       const Usage& usage) const {
  out += R"("stop_reason":)";
  switch (finish) {
    case FinishReason::kStop:
      out += matched_stop.empty() ? R"("end_turn")" : R"("stop_sequence")";
      break;
    case FinishReason::kLength:
      out += usage.completion_tokens < options_.max_tokens ? R"("model_context_window_exceeded")"
                                                           : R"("max_tokens")";
      break;
    case FinishReason::kToolCalls:
      out += R"("tool_use")";
      break;
  }
  out += R"(,"stop_sequence":)";
  if (matched_stop.empty())
    out += "null";
  else
    append_json_string(out, matched_stop);
  out += R"(,"stop_details":null)";
}

std::string MessageAnswerEncoder::whole(std::span<const Choice> choices, const Usage& usage) {
  const Choice& choice = choices.front();
  std::string out = message_head(options_.info);
  BlockList blocks(out, options_.hides_thinking);
  for (const AnswerPiece& piece : choice.pieces) blocks.take(piece);
  blocks.finish();
  out += "],";
  append_stop(out, choice.finish, choice.matched_stop, usage);
  out += R"(,"usage":)";
  append_usage(out, usage);
  openai::append_cache(out, usage);
  out += '}';
  return out;
}

void MessageAnswerEncoder::start_message(std::string& out, const Usage& usage) {
  if (std::exchange(started_, true)) return;
  std::string data = R"({"type":"message_start","message":)" + message_head(options_.info) +
                     R"(],"stop_reason":null,"stop_sequence":null,"stop_details":null,"usage":)";
  append_usage(data, usage);
  append_event(out, "message_start", data + "}}");
  append_event(out, "ping", R"({"type":"ping"})");
}

void MessageAnswerEncoder::open_block(std::string& out, std::string_view content) {
  std::string data = R"({"type":"content_block_start","index":)";
  append_json_number(data, std::int64_t{num_blocks_});
  data += R"(,"content_block":)";
  data += content;
  append_event(out, "content_block_start", data + "}");
}

void MessageAnswerEncoder::append_delta(std::string& out, std::string_view type, std::string_view key,
                                        std::string_view text) const {
  std::string data = R"({"type":"content_block_delta","index":)";
  append_json_number(data, std::int64_t{num_blocks_});
  data += R"(,"delta":{"type":")";
  data += type;
  data += R"(",")";
  data += key;
  data += "\":";
  append_json_string(data, text);
  append_event(out, "content_block_delta", data + "}}");
}

void MessageAnswerEncoder::close_block(std::string& out) {
  if (open_ == BlockKind::kThinking)
    append_delta(out, "signature_delta", "signature", signature_of(thinking_));
  std::string data = R"({"type":"content_block_stop","index":)";
  append_json_number(data, std::int64_t{num_blocks_});
  append_event(out, "content_block_stop", data + "}");
  open_ = BlockKind::kNone;
  thinking_.clear();
  ++num_blocks_;
}

void MessageAnswerEncoder::append_text(std::string& out, BlockKind kind, std::string_view text) {
  if (text.empty()) return;
  if (open_ != kind) {
    if (open_ != BlockKind::kNone) close_block(out);
    std::string content;
    if (kind == BlockKind::kText)
      append_text_block(content, "");
    else
      append_thinking_block(content, "", "");
    open_block(out, content);
    open_ = kind;
  }
  if (kind == BlockKind::kText) {
    append_delta(out, "text_delta", "text", text);
    return;
  }
  thinking_ += text;
  if (!options_.hides_thinking) append_delta(out, "thinking_delta", "thinking", text);
}

void MessageAnswerEncoder::append_call(std::string& out) {
  if (open_ != BlockKind::kNone) close_block(out);
  std::string content;
  append_call_block(content, call_, "{}");
  open_block(out, content);
  std::string joined;
  for (const std::string& piece : arguments_) joined += piece;
  if (const std::string input = input_of(joined); input != joined) arguments_ = {input};
  for (const std::string& piece : arguments_) append_delta(out, "input_json_delta", "partial_json", piece);
  close_block(out);
}

void MessageAnswerEncoder::take_piece(std::string& out, const AnswerPiece& piece) {
  switch (piece.kind) {
    case Kind::kContent:
    case Kind::kCallBroken:
      append_text(out, BlockKind::kText, piece.text);
      break;
    case Kind::kReasoning:
      append_text(out, BlockKind::kThinking, piece.text);
      break;
    case Kind::kCallBegin:
      call_ = piece;
      arguments_.clear();
      break;
    case Kind::kCallArguments:
      arguments_.push_back(piece.text);
      break;
    case Kind::kCallCut:
      arguments_.assign(1, std::string(kNoInput));
      append_call(out);
      break;
    case Kind::kCallEnd:
      append_call(out);
      break;
  }
}

void MessageAnswerEncoder::event(std::string& out, std::int32_t /*choice*/, const TextEvent& event,
                                 const Usage& so_far) {
  const std::size_t before = out.size();
  start_message(out, so_far);
  for (const AnswerPiece& piece : event.pieces) take_piece(out, piece);
  if (event.finish) {
    finish_ = *event.finish;
    matched_stop_ = event.matched_stop;
  }
  // While a long call is written nothing else shows that it goes on.
  if (out.size() > before) {
    num_silent_ = 0;
  } else if (++num_silent_ == kSilentEventsPerPing) {
    append_event(out, "ping", R"({"type":"ping"})");
    num_silent_ = 0;
  }
}

void MessageAnswerEncoder::end(std::string& out, const Usage& usage) {
  start_message(out, usage);
  if (open_ != BlockKind::kNone) close_block(out);
  std::string data = R"({"type":"message_delta","delta":{"container":null,)";
  append_stop(data, finish_, matched_stop_, usage);
  data += R"(},"usage":)";
  append_counts(data, usage);
  data += '}';
  openai::append_cache(data, usage);
  append_event(out, "message_delta", data + "}");
  append_event(out, "message_stop", R"({"type":"message_stop"})");
}

void MessageAnswerEncoder::fail(std::string& out, const Error& error) {
  append_event(out, "error", encode_error(status_of(error.kind), error, {}));
}

}  // namespace mlxd::api::anthropic
