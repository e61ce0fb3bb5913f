// From the event stream to a dialect's bytes: whole answers, or streamed events complete with their framing.
// One encoder per request, one owner.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "generation/generation_event.h"
#include "generation/text_event.h"

namespace mlxd::api {

/// What all parts of one answer share.
struct AnswerInfo {
  std::string id;            // without the dialect's prefix
  std::int64_t created = 0;  // seconds since 1970
  std::string model;
  std::string fingerprint;
  TimePoint arrived = {};  // the request
  TimePoint loaded = {};   // when its model was there
};

/// A finished choice of a whole answer.
struct Choice {
  std::vector<AnswerPiece> pieces = {};
  std::vector<TokenText> logprobs = {};
  FinishReason finish = FinishReason::kStop;
  std::string matched_stop = {};
};

class AnswerEncoder {
 public:
  virtual ~AnswerEncoder() = default;

  /// No choices: of a call that only loads.
  virtual std::string whole(std::span<const Choice> choices, const Usage& usage) = 0;

  // A stream: begin, then events of any choice in any order, then end, or fail at any time. Each appends.
  virtual std::string_view stream_content_type() const = 0;
  /// Whether a silent stream may send comments of server-sent events.
  virtual bool takes_comments() const { return true; }
  virtual void begin(std::string& out) = 0;
  /// `event` has no error; `so_far` is what the request has used with it.
  virtual void event(std::string& out, std::int32_t choice, const TextEvent& event, const Usage& so_far) = 0;
  virtual void end(std::string& out, const Usage& usage) = 0;
  virtual void fail(std::string& out, const Error& error) = 0;
};

}  // namespace mlxd::api
