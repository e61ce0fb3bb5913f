// Granite 3.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"granite", "granitemoe"};
constexpr std::string_view kMarks[] = {"<|start_of_role|>"};
constexpr std::string_view kNames[] = {"granite-3"};
constexpr std::string_view kEndTokens[] = {"<|end_of_text|>"};

}  // namespace

const Family granite3{
    .name = "granite3",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::granite3},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
