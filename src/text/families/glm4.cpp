// GLM 4 and Z1 (0414).
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kGlm4ModelTypes[] = {"glm4", "glm", "chatglm"};
constexpr std::string_view kGlm4Marks[] = {"[gMASK]"};
constexpr std::string_view kGlm4Names[] = {"glm-4"};
constexpr std::string_view kGlm4EndTokens[] = {"<|user|>", "<|observation|>"};

}  // namespace

const Family glm4{
    .name = "glm4",
    .model_types = kGlm4ModelTypes,
    .marks = kGlm4Marks,
    .names = kGlm4Names,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::glm4},
    .end_tokens = kGlm4EndTokens,
};

}  // namespace mlxd::families
