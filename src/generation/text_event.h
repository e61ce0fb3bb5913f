// What a request's text pipeline makes of its tokens: the one event stream that every dialect encodes.
// Values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "generation/generation_event.h"
#include "generation/token.h"

namespace mlxd {

struct TokenText {
  TokenId token = kNoToken;
  std::string text;  // the token's own bytes as text (may be a partial character: see bytes)
  std::string bytes;
  float logprob = 0.0F;
  /// False of the first token of an answer that begins with its prompt: nothing comes before it.
  bool has_logprob = true;
  /// Characters of the answer's text that are this token's, if not those of its bytes.
  std::optional<std::int64_t> num_characters = {};
  struct Alternative {
    TokenId token = kNoToken;
    std::string bytes;
    float logprob = 0.0F;
  };
  std::vector<Alternative> top;
};

/// A piece of an answer. Pieces come in the order in which the model wrote them; a call's lie between its
/// kCallBegin and its kCallEnd, kCallBroken or kCallCut, and no other piece lies between them.
struct AnswerPiece {
  enum class Kind : std::uint8_t {
    kContent,
    kReasoning,
    kCallBegin,      // call, call_id, name
    kCallArguments,  // text: more of the arguments' JSON
    kCallEnd,        // the arguments are complete
    kCallBroken,     // no call after all: text is all that the model wrote of it, markup too
    kCallCut,        // the answer's length ended it: the arguments are a beginning
  };
  Kind kind = Kind::kContent;
  std::string text = {};
  std::int32_t call = 0;     // counts the answer's calls, broken and cut ones too
  std::string call_id = {};  // as the model wrote it, or empty
  std::string name = {};

  bool operator==(const AnswerPiece&) const = default;
};

/// Appends a piece, joined to the last one where both are one text in two parts.
void append_piece(std::vector<AnswerPiece>& pieces, AnswerPiece piece);

/// Some of the answer.
struct TextEvent {
  std::vector<AnswerPiece> pieces;     // may be empty
  std::vector<TokenText> logprobs;     // if asked: of the tokens consumed by this event
  std::optional<FinishReason> finish;  // last event
  std::string matched_stop;            // the stop string that ended it, or empty
  std::optional<Error> error;          // last event of a failed request
};

/// The content alone, joined.
std::string content_of(const TextEvent& event);

}  // namespace mlxd
