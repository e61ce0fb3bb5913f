// GLM 4.5 and later.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kGlm45ModelTypes[] = {"glm4_moe", "glm4_moe_lite", "glm_moe_dsa"};
constexpr std::string_view kGlm45Marks[] = {"<arg_key>"};
constexpr std::string_view kGlm45Names[] = {"glm-4.5", "glm-4.6", "glm-4.7", "glm-5"};
constexpr std::string_view kGlm45EndTokens[] = {"<|user|>", "<|observation|>"};

}  // namespace

const Family glm4_5{
    .name = "glm4_5",
    .model_types = kGlm45ModelTypes,
    .marks = kGlm45Marks,
    .names = kGlm45Names,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::glm4_5},
    .end_tokens = kGlm45EndTokens,
};

}  // namespace mlxd::families
