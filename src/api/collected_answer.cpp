#include "api/collected_answer.h"

namespace mlxd::api {

CollectedAnswer collect(std::span<const AnswerPiece> pieces) {
  using Kind = AnswerPiece::Kind;
  CollectedAnswer answer;
  ToolCall call;
  for (const AnswerPiece& piece : pieces) {
    switch (piece.kind) {
      case Kind::kContent:
      case Kind::kCallBroken:
        answer.content += piece.text;
        break;
      case Kind::kReasoning:
        answer.reasoning += piece.text;
        break;
      case Kind::kCallBegin:
        call = {.id = piece.call_id, .name = piece.name, .arguments = {}};
        break;
      case Kind::kCallArguments:
        call.arguments += piece.text;
        break;
      case Kind::kCallEnd:
      case Kind::kCallCut:
        answer.tool_calls.push_back(call);
        break;
    }
  }
  return answer;
}

}  // namespace mlxd::api
