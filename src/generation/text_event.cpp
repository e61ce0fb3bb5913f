#include "generation/text_event.h"

#include <utility>

namespace mlxd {

void append_piece(std::vector<AnswerPiece>& pieces, AnswerPiece piece) {
  using Kind = AnswerPiece::Kind;
  const bool is_text =
      piece.kind == Kind::kContent || piece.kind == Kind::kReasoning || piece.kind == Kind::kCallArguments;
  if (is_text && piece.text.empty()) return;
  if (is_text && !pieces.empty() && pieces.back().kind == piece.kind && pieces.back().call == piece.call)
    pieces.back().text += piece.text;
  else
    pieces.push_back(std::move(piece));
}

std::string content_of(const TextEvent& event) {
  std::string content;
  for (const AnswerPiece& piece : event.pieces) {
    if (piece.kind == AnswerPiece::Kind::kContent) content += piece.text;
  }
  return content;
}

}  // namespace mlxd
