// MiniMax M2.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kMinimaxM2ModelTypes[] = {"minimax_m2", "minimax"};
constexpr std::string_view kMinimaxM2Marks[] = {"<minimax:tool_call>"};
constexpr std::string_view kMinimaxM2Names[] = {"minimax-m2"};
constexpr std::string_view kMinimaxM2EndTokens[] = {"[e~["};

}  // namespace

const Family minimax_m2{
    .name = "minimax_m2",
    .model_types = kMinimaxM2ModelTypes,
    .marks = kMinimaxM2Marks,
    .names = kMinimaxM2Names,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::minimax_m2},
    .end_tokens = kMinimaxM2EndTokens,
};

}  // namespace mlxd::families
