// Kimi K2.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"kimi_k2", "kimi_linear"};
constexpr std::string_view kMarks[] = {"<|tool_calls_section_begin|>"};
constexpr std::string_view kNames[] = {"kimi-k2", "kimi-linear"};
constexpr std::string_view kEndTokens[] = {"<|im_end|>"};

}  // namespace

const Family kimi_k2{
    .name = "kimi_k2",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::kimi_k2},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
