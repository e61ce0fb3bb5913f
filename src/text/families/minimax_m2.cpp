// MiniMax M2.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"minimax_m2", "minimax"};
constexpr std::string_view kMarks[] = {"<minimax:tool_call>"};
constexpr std::string_view kNames[] = {"minimax-m2"};
constexpr std::string_view kEndTokens[] = {"[e~["};

}  // namespace

const Family minimax_m2{
    .name = "minimax_m2",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::minimax_m2},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
