// GLM 4 and Z1 (0414).
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"glm4", "glm", "chatglm"};
constexpr std::string_view kMarks[] = {"[gMASK]"};
constexpr std::string_view kNames[] = {"glm-4"};
constexpr std::string_view kEndTokens[] = {"<|user|>", "<|observation|>"};

}  // namespace

const Family glm4{
    .name = "glm4",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::glm4},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
