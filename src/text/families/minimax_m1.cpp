// MiniMax M1.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"minimax_m1", "minimax_text_01"};
constexpr std::string_view kMarks[] = {"<tool_calls>", "<beginning_of_sentence>"};
constexpr std::string_view kNames[] = {"minimax-m1"};
constexpr std::string_view kEndTokens[] = {"<end_of_sentence>"};

}  // namespace

const Family minimax_m1{
    .name = "minimax_m1",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::hunyuan},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
