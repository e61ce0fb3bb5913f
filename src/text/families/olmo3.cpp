// OLMo 3.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"olmo3"};
constexpr std::string_view kMarks[] = {"<function_calls>"};
constexpr std::string_view kNames[] = {"olmo-3"};
constexpr std::string_view kEndTokens[] = {"<|im_end|>"};

}  // namespace

const Family olmo3{
    .name = "olmo3",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::olmo3},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
