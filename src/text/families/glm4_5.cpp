// GLM 4.5 and later.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"glm4_moe", "glm4_moe_lite", "glm_moe_dsa"};
constexpr std::string_view kMarks[] = {"<arg_key>"};
constexpr std::string_view kNames[] = {"glm-4.5", "glm-4.6", "glm-4.7", "glm-5"};
constexpr std::string_view kEndTokens[] = {"<|user|>", "<|observation|>"};

}  // namespace

const Family glm4_5{
    .name = "glm4_5",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::glm4_5},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
