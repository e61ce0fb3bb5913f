// Phi 4 mini.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kPhi4MiniMarks[] = {"<|tool|>", "<|end|>"};
constexpr std::string_view kPhi4MiniNames[] = {"phi-4-mini"};
constexpr std::string_view kPhi4MiniEndTokens[] = {"<|end|>"};

}  // namespace

const Family phi4_mini{
    .name = "phi4_mini",
    .marks = kPhi4MiniMarks,
    .names = kPhi4MiniNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::phi4},
    .end_tokens = kPhi4MiniEndTokens,
};

}  // namespace mlxd::families
