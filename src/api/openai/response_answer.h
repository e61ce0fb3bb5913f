// Answers of /v1/responses: one object, or events that build it up item by item. A whole answer goes the same
// way as a streamed one, so both have the same items.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/answer_encoder.h"
#include "api/openai/response_details.h"
#include "api/openai/text_argument.h"
#include "base/clock.h"

namespace mlxd::api::openai {

class ResponseAnswerEncoder : public AnswerEncoder {
 public:
  struct Options {
    AnswerInfo info;
    std::shared_ptr<const ResponseDetails> details;
    /// Takes what is to be kept of a finished answer, before its last bytes are out; may be empty. `write`
    /// makes the whole of it, on any thread and as often as it is called.
    using Keep = std::function<void(std::string id, std::function<StoredResponse()> write)>;
    Keep keep = {};
    const Clock* clock = &Clock::real();
  };
  explicit ResponseAnswerEncoder(Options options);

  std::string whole(std::span<const Choice> choices, const Usage& usage) override;
  std::string_view stream_content_type() const override { return "text/event-stream"; }
  void begin(std::string& out) override;
  void event(std::string& out, std::int32_t choice, const TextEvent& event, const Usage& so_far) override;
  void end(std::string& out, const Usage& usage) override;
  void fail(std::string& out, const Error& error) override;

 private:
  enum class ItemKind : std::uint8_t { kNone, kMessage, kReasoning, kFunctionCall, kTextCall };

  /// The item that is being written.
  struct Item {
    ItemKind kind = ItemKind::kNone;
    std::string id;
    std::string call_id;
    std::string name;
    std::string text;       // content, reasoning, or a function's arguments
    TextArgument argument;  // of a tool that takes text
    std::string logprobs;   // list of the text's tokens, without its brackets
  };

  void piece(std::string& out, const AnswerPiece& piece, std::string_view logprobs);
  void append_text(std::string& out, ItemKind kind, std::string_view text, std::string_view logprobs);
  void open(std::string& out, ItemKind kind, const AnswerPiece& piece);
  void open_part(std::string& out);
  void delta(std::string& out, std::string_view text, std::string_view logprobs);
  void close(std::string& out, std::string_view status);
  void close_part(std::string& out);
  void take_finish(std::string& out, FinishReason reason);
  /// Of a message or reasoning.
  std::string part_json(std::string_view text, std::string_view logprobs) const;
  std::string item_json(std::string_view status, bool empty) const;
  /// The tokens of `event` that make its content, as a list without brackets.
  std::string content_logprobs(const TextEvent& event);
  bool take_token(std::string_view bytes);

  void begin_event(std::string& out, std::string_view type);
  void end_event(std::string& out) const;
  /// Begins an event about the current item.
  void item_event(std::string& out, std::string_view type);
  void response_event(std::string& out, std::string_view type, const std::string& response);
  std::string response_json(std::string_view status, const Usage* usage, const Error* error) const;
  std::string_view final_status() const {
    return finish_ == FinishReason::kLength ? "incomplete" : "completed";
  }
  void keep(const std::string& response) const;

  Options options_;
  std::int64_t sequence_number_ = 0;
  std::vector<std::string> items_;  // finished ones
  Item item_;
  FinishReason finish_ = FinishReason::kStop;
  bool pure_content_ = true;   // nothing but content so far
  std::string late_logprobs_;  // of content, to go with the next of it
  /// Text whose tokens have not come yet, and whether it is content.
  std::deque<std::pair<bool, std::string>> untold_;
};

}  // namespace mlxd::api::openai
