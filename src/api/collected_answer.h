// A whole answer's pieces put together. Pure.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "generation/conversation.h"
#include "generation/text_event.h"

namespace mlxd::api {

struct CollectedAnswer {
  std::string content;  // with what looked like a call and was none
  std::string reasoning;
  std::vector<ToolCall> tool_calls;
};

CollectedAnswer collect(std::span<const AnswerPiece> pieces);

}  // namespace mlxd::api
