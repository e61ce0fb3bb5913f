// Granite 4.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"granitemoehybrid"};
constexpr std::string_view kMarks[] = {"<|start_of_role|>", "</tool_call>"};
constexpr std::string_view kNames[] = {"granite-4"};
constexpr std::string_view kEndTokens[] = {"<|end_of_text|>"};

}  // namespace

const Family granite4{
    .name = "granite4",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::hermes},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
