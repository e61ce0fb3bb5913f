// One grammar for all that a request asks of an answer: the form of its content, calls that have to come, and
// calls that keep to their tools' schemas. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/result.h"
#include "generation/conversation.h"
#include "generation/grammar.h"
#include "text/dialects/output_parser.h"
#include "text/tokenizer.h"

namespace mlxd {

struct AnswerWish {
  /// What the content matches; null: any text. Beside tools or channels it becomes a part of another grammar:
  /// one that is no grammar by itself has to be refused before.
  const Grammar* content = nullptr;
  std::span<const Tool> tools = {};  // that may be called; empty: none
  bool must_call = false;            // the answer is calls; else calls or content
  std::int32_t max_calls = 0;        // in one answer; 0: no bound
  /// Tokens that harmony's analysis may have: a budget for what has no markers of its own is a part of the
  /// grammar. Others are AnswerConstraint's.
  std::optional<std::int32_t> thinking_budget{};
};

/// Absent: anything may come. Calls have arguments of their tools' schemas where they are forced or the tool
/// is strict. Errors: kUnsupported, with the reason, for what the dialect cannot hold to; kInvalidArgument (a
/// schema that is none).
Result<std::optional<Grammar>> answer_grammar(const AnswerWish& wish, const dialects::OutputFormat& format,
                                              const Tokenizer& tokenizer);

}  // namespace mlxd
