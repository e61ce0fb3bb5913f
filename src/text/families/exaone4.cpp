// EXAONE 3.5 and 4.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"exaone", "exaone4", "exaone_moe"};
constexpr std::string_view kMarks[] = {"[|assistant|]"};
constexpr std::string_view kNames[] = {"exaone"};
constexpr std::string_view kEndTokens[] = {"[|endofturn|]"};

}  // namespace

const Family exaone4{
    .name = "exaone4",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::hermes},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
