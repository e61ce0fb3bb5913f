#include "api/openai/response_answer.h"

#include <algorithm>
#include <utility>

#include "api/error_status.h"
#include "api/json_text.h"
#include "api/openai/answer_parts.h"
#include "api/openai/response_items.h"

namespace mlxd::api::openai {
namespace {

using Kind = AnswerPiece::Kind;

constexpr std::string_view kInProgress = "in_progress";
constexpr std::size_t kMostUntoldPieces = 16;

void append_response_usage(std::string& out, const Usage& usage) {
  out += R"({"input_tokens":)";
  append_json_number(out, std::int64_t{usage.prompt_tokens});
  out += R"(,"input_tokens_details":{"cached_tokens":)";
  append_json_number(out, std::int64_t{usage.cached_prompt_tokens});
  // Of writing to the cache, which a client pays for elsewhere.
  out += R"(,"cache_write_tokens":0},"output_tokens":)";
  append_json_number(out, std::int64_t{usage.completion_tokens});
  out += R"(,"output_tokens_details":{"reasoning_tokens":)";
  append_json_number(out, std::int64_t{usage.reasoning_tokens});
  out += R"(},"total_tokens":)";
  append_json_number(out, std::int64_t{usage.total_tokens()});
  out += '}';
}

}  // namespace

ResponseAnswerEncoder::ResponseAnswerEncoder(Options options) : options_(std::move(options)) {}

std::string ResponseAnswerEncoder::whole(std::span<const Choice> choices, const Usage& usage) {
  std::string events;
  for (const Choice& choice : choices) {
    TextEvent event;
    event.pieces = choice.pieces;
    event.logprobs = choice.logprobs;
    event.finish = choice.finish;
    this->event(events, 0, event, usage);
    events.clear();
  }
  std::string response = response_json(final_status(), &usage, nullptr);
  keep(response);
  return response;
}

void ResponseAnswerEncoder::begin(std::string& out) {
  const std::string response = response_json(kInProgress, nullptr, nullptr);
  response_event(out, "response.created", response);
  response_event(out, "response.in_progress", response);
}

void ResponseAnswerEncoder::event(std::string& out, std::int32_t /*choice*/, const TextEvent& event,
                                  const Usage& /*so_far*/) {
  // Log-probabilities go with the first delta of the content.
  std::string logprobs = std::exchange(late_logprobs_, {});
  if (options_.details->logprobs) {
    const std::string own = content_logprobs(event);
    if (!logprobs.empty() && !own.empty()) logprobs += ',';
    logprobs += own;
  }
  for (const AnswerPiece& each : event.pieces) {
    const bool is_content = each.kind == Kind::kContent || each.kind == Kind::kCallBroken;
    piece(out, each, is_content ? std::exchange(logprobs, {}) : std::string());
  }
  // Those of a text that is over may come while a call or a thought is being written, which goes on.
  if (!logprobs.empty() && (item_.kind == ItemKind::kMessage || item_.kind == ItemKind::kNone))
    append_text(out, ItemKind::kMessage, {}, logprobs);
  else
    late_logprobs_ = std::move(logprobs);
  if (event.finish) take_finish(out, *event.finish);
}

void ResponseAnswerEncoder::take_finish(std::string& out, FinishReason reason) {
  finish_ = reason;
  close(out, final_status());
  if (!items_.empty()) return;
  // An answer of nothing is an empty text.
  open(out, ItemKind::kMessage, {});
  close(out, final_status());
}

void ResponseAnswerEncoder::end(std::string& out, const Usage& usage) {
  const std::string response = response_json(final_status(), &usage, nullptr);
  keep(response);
  response_event(out, "response." + std::string(final_status()), response);
}

void ResponseAnswerEncoder::fail(std::string& out, const Error& error) {
  close(out, "incomplete");
  begin_event(out, "error");
  out += R"(,"code":)";
  append_json_string(out, status_of(error.kind) == 429 ? "rate_limit_exceeded" : "server_error");
  append_member(out, "message", error.message);
  out += R"(,"param":)";
  if (error.field.empty())
    out += "null";
  else
    append_json_string(out, error.field);
  end_event(out);
  response_event(out, "response.failed", response_json("failed", nullptr, &error));
}

void ResponseAnswerEncoder::piece(std::string& out, const AnswerPiece& piece, std::string_view logprobs) {
  switch (piece.kind) {
    case Kind::kContent:
      append_text(out, ItemKind::kMessage, piece.text, logprobs);
      break;
    case Kind::kReasoning:
      append_text(out, ItemKind::kReasoning, piece.text, {});
      break;
    case Kind::kCallBegin:
      close(out, "completed");
      open(out, options_.details->takes_text(piece.name) ? ItemKind::kTextCall : ItemKind::kFunctionCall,
           piece);
      break;
    case Kind::kCallArguments:
      if (item_.kind == ItemKind::kTextCall) {
        delta(out, item_.argument.push(piece.text), {});
      } else {
        item_.text += piece.text;
        delta(out, piece.text, {});
      }
      break;
    case Kind::kCallEnd:
      close(out, "completed");
      break;
    case Kind::kCallCut:
      close(out, "incomplete");
      break;
    case Kind::kCallBroken:
      // It has been told already; all that the model wrote follows as text.
      close(out, "incomplete");
      append_text(out, ItemKind::kMessage, piece.text, logprobs);
      break;
  }
}

void ResponseAnswerEncoder::append_text(std::string& out, ItemKind kind, std::string_view text,
                                        std::string_view logprobs) {
  if (text.empty() && logprobs.empty()) return;
  if (item_.kind != kind) {
    close(out, "completed");
    open(out, kind, {});
  }
  item_.text += text;
  if (!logprobs.empty()) {
    if (!item_.logprobs.empty()) item_.logprobs += ',';
    item_.logprobs += logprobs;
  }
  delta(out, text, logprobs);
}

void ResponseAnswerEncoder::open(std::string& out, ItemKind kind, const AnswerPiece& piece) {
  static constexpr std::string_view kPrefixes[] = {"", "msg_", "rs_", "fc_", "ctc_"};
  item_ = {};
  item_.kind = kind;
  item_.id =
      item_id(kPrefixes[static_cast<std::size_t>(kind)], options_.info.id, std::to_string(items_.size()));
  item_.call_id = piece.call_id;
  item_.name = piece.name;
  begin_event(out, "response.output_item.added");
  append_member(out, "output_index", static_cast<std::int64_t>(items_.size()));
  out += R"(,"item":)" + item_json(kInProgress, true);
  end_event(out);
  open_part(out);
}

void ResponseAnswerEncoder::open_part(std::string& out) {
  if (item_.kind != ItemKind::kMessage && item_.kind != ItemKind::kReasoning) return;
  const bool is_summary = item_.kind == ItemKind::kReasoning && options_.details->summary;
  item_event(out, is_summary ? "response.reasoning_summary_part.added" : "response.content_part.added");
  out += R"(,"part":)" + part_json({}, {});
  end_event(out);
}

void ResponseAnswerEncoder::delta(std::string& out, std::string_view text, std::string_view logprobs) {
  if (text.empty() && logprobs.empty()) return;
  std::string_view type;
  switch (item_.kind) {
    case ItemKind::kNone:
      return;
    case ItemKind::kMessage:
      type = "response.output_text.delta";
      break;
    case ItemKind::kReasoning:
      type = options_.details->summary ? "response.reasoning_summary_text.delta"
                                       : "response.reasoning_text.delta";
      break;
    case ItemKind::kFunctionCall:
      type = "response.function_call_arguments.delta";
      break;
    case ItemKind::kTextCall:
      type = "response.custom_tool_call_input.delta";
      break;
  }
  item_event(out, type);
  append_member(out, "delta", text);
  if (item_.kind == ItemKind::kMessage) {
    out += R"(,"logprobs":[)";
    out += logprobs;
    out += ']';
  }
  end_event(out);
}

void ResponseAnswerEncoder::close(std::string& out, std::string_view status) {
  if (item_.kind == ItemKind::kNone) return;
  if (item_.kind == ItemKind::kTextCall) delta(out, item_.argument.finish(), {});
  close_part(out);
  std::string item = item_json(status, false);
  begin_event(out, "response.output_item.done");
  append_member(out, "output_index", static_cast<std::int64_t>(items_.size()));
  out += R"(,"item":)" + item;
  end_event(out);
  items_.push_back(std::move(item));
  item_ = {};
}

void ResponseAnswerEncoder::close_part(std::string& out) {
  switch (item_.kind) {
    case ItemKind::kNone:
      return;
    case ItemKind::kFunctionCall:
      item_event(out, "response.function_call_arguments.done");
      append_member(out, "name", item_.name);
      append_member(out, "arguments", item_.text);
      end_event(out);
      return;
    case ItemKind::kTextCall:
      item_event(out, "response.custom_tool_call_input.done");
      append_member(out, "input", item_.argument.text());
      end_event(out);
      return;
    case ItemKind::kMessage:
      item_event(out, "response.output_text.done");
      append_member(out, "text", item_.text);
      out += R"(,"logprobs":[)" + item_.logprobs + "]";
      end_event(out);
      item_event(out, "response.content_part.done");
      break;
    case ItemKind::kReasoning:
      item_event(out, options_.details->summary ? "response.reasoning_summary_text.done"
                                                : "response.reasoning_text.done");
      append_member(out, "text", item_.text);
      end_event(out);
      item_event(out, options_.details->summary ? "response.reasoning_summary_part.done"
                                                : "response.content_part.done");
      break;
  }
  out += R"(,"part":)" + part_json(item_.text, item_.logprobs);
  end_event(out);
}

std::string ResponseAnswerEncoder::part_json(std::string_view text, std::string_view logprobs) const {
  std::string part;
  if (item_.kind == ItemKind::kMessage) {
    part = R"({"type":"output_text","annotations":[],"logprobs":[)" + std::string(logprobs) + "]";
  } else {
    part = options_.details->summary ? R"({"type":"summary_text")" : R"({"type":"reasoning_text")";
  }
  append_member(part, "text", text);
  return part + "}";
}

std::string ResponseAnswerEncoder::item_json(std::string_view status, bool empty) const {
  std::string item = R"({"id":)";
  append_json_string(item, item_.id);
  switch (item_.kind) {
    case ItemKind::kNone:
      break;
    case ItemKind::kMessage:
      item += R"(,"type":"message","role":"assistant","content":[)";
      if (!empty) item += part_json(item_.text, item_.logprobs);
      item += ']';
      break;
    case ItemKind::kReasoning: {
      const std::string part = empty ? std::string() : part_json(item_.text, {});
      item += R"(,"type":"reasoning","summary":[)";
      if (options_.details->summary) item += part;
      item += R"(],"content":[)";
      if (!options_.details->summary) item += part;
      item += "]";
      if (options_.details->encrypted_reasoning) {
        if (empty)
          item += R"(,"encrypted_content":"")";
        else
          append_member(item, "encrypted_content", std::string(kReasoningMark) + item_.text);
      }
      break;
    }
    case ItemKind::kFunctionCall:
      item += R"(,"type":"function_call")";
      append_member(item, "call_id", item_.call_id);
      append_member(item, "name", item_.name);
      append_member(item, "arguments", item_.text);
      break;
    case ItemKind::kTextCall:
      item += R"(,"type":"custom_tool_call")";
      append_member(item, "call_id", item_.call_id);
      append_member(item, "name", item_.name);
      append_member(item, "input", item_.argument.text());
      break;
  }
  append_member(item, "status", status);
  return item + "}";
}

// Where there is more than content, tokens belong to the text that they spell; markers spell none.
std::string ResponseAnswerEncoder::content_logprobs(const TextEvent& event) {
  for (const AnswerPiece& each : event.pieces) {
    const bool is_content = each.kind == Kind::kContent;
    pure_content_ = pure_content_ && is_content;
    if (!pure_content_ && !each.text.empty() && (is_content || each.kind == Kind::kReasoning))
      untold_.emplace_back(is_content, each.text);
  }
  std::string out;
  for (const TokenText& token : event.logprobs) {
    if (!pure_content_ && !take_token(token.bytes)) continue;
    if (!out.empty()) out += ',';
    append_token_logprob(out, token);
  }
  // Text that has been changed is spelled by no token.
  while (untold_.size() > kMostUntoldPieces) untold_.pop_front();
  return out;
}

// True if `bytes` are the next of the content.
bool ResponseAnswerEncoder::take_token(std::string_view bytes) {
  if (bytes.empty() || untold_.empty()) return false;
  auto& [is_content, text] = untold_.front();
  const std::size_t size = std::min(bytes.size(), text.size());
  if (bytes.substr(0, size) != std::string_view(text).substr(0, size)) return false;
  const bool taken = is_content;
  text.erase(0, size);
  if (text.empty()) untold_.pop_front();
  return taken;
}

void ResponseAnswerEncoder::begin_event(std::string& out, std::string_view type) {
  out += "event: ";
  out += type;
  out += "\ndata: {\"type\":\"";
  out += type;
  out += '"';
  append_member(out, "sequence_number", sequence_number_++);
}

void ResponseAnswerEncoder::end_event(std::string& out) const { out += "}\n\n"; }

void ResponseAnswerEncoder::item_event(std::string& out, std::string_view type) {
  begin_event(out, type);
  append_member(out, "item_id", item_.id);
  append_member(out, "output_index", static_cast<std::int64_t>(items_.size()));
  if (item_.kind == ItemKind::kMessage || item_.kind == ItemKind::kReasoning) {
    const bool is_summary = item_.kind == ItemKind::kReasoning && options_.details->summary;
    append_member(out, is_summary ? "summary_index" : "content_index", std::int64_t{0});
  }
}

void ResponseAnswerEncoder::response_event(std::string& out, std::string_view type,
                                           const std::string& response) {
  begin_event(out, type);
  out += R"(,"response":)" + response;
  end_event(out);
}

std::string ResponseAnswerEncoder::response_json(std::string_view status, const Usage* usage,
                                                 const Error* error) const {
  std::string out = R"({"id":)";
  append_json_string(out, "resp_" + options_.info.id);
  out += R"(,"object":"response")";
  append_member(out, "created_at", options_.info.created);
  append_member(out, "status", status);
  out += R"(,"completed_at":)";
  if (status == "completed")
    append_json_number(out, options_.clock->wall_seconds());
  else
    out += "null";
  out += R"(,"error":)";
  if (error != nullptr) {
    out += R"({"code":"server_error")";
    append_member(out, "message", error->message);
    out += '}';
  } else {
    out += "null";
  }
  out += status == "incomplete" ? R"(,"incomplete_details":{"reason":"max_output_tokens"})"
                                : R"(,"incomplete_details":null)";
  append_member(out, "model", options_.info.model);
  out += R"(,"output":[)";
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (i > 0) out += ',';
    out += items_[i];
  }
  out += R"(],"usage":)";
  if (usage != nullptr)
    append_response_usage(out, *usage);
  else
    out += "null";
  out += options_.details->store ? R"(,"store":true,)" : R"(,"store":false,)";
  out += options_.details->echo_json;
  if (usage != nullptr) append_cache(out, *usage);
  return out + "}";
}

// A long conversation takes its time to be written down: not on this thread.
void ResponseAnswerEncoder::keep(const std::string& response) const {
  if (!options_.details->store || !options_.keep) return;
  std::string id = "resp_" + options_.info.id;
  options_.keep(id, [id, number = options_.info.id, created = options_.info.created, response,
                     details = options_.details] {
    boost::json::array input = details->input;
    number_items(input, number);
    StoredResponse stored{.id = id, .owner = details->owner, .response_json = response};
    if (!details->previous_id.empty()) stored.previous_id = details->previous_id;
    stored.input_json.clear();
    append_json_value(stored.input_json, input);
    stored.created_at = created;
    return stored;
  });
}

}  // namespace mlxd::api::openai
