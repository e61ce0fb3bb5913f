// MiniMax M1.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kMinimaxM1ModelTypes[] = {"minimax_m1", "minimax_text_01"};
constexpr std::string_view kMinimaxM1Marks[] = {"<tool_calls>", "<beginning_of_sentence>"};
constexpr std::string_view kMinimaxM1Names[] = {"minimax-m1"};
constexpr std::string_view kMinimaxM1EndTokens[] = {"<end_of_sentence>"};

}  // namespace

const Family minimax_m1{
    .name = "minimax_m1",
    .model_types = kMinimaxM1ModelTypes,
    .marks = kMinimaxM1Marks,
    .names = kMinimaxM1Names,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::hunyuan},
    .end_tokens = kMinimaxM1EndTokens,
};

}  // namespace mlxd::families
