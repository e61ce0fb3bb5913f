// Phi 4 mini.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kMarks[] = {"<|tool|>", "<|end|>"};
constexpr std::string_view kNames[] = {"phi-4-mini"};
constexpr std::string_view kEndTokens[] = {"<|end|>"};

}  // namespace

const Family phi4_mini{
    .name = "phi4_mini",
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::phi4},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
