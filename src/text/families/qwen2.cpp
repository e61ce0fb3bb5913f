// Qwen 1.5 to 2.5.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kQwen2ModelTypes[] = {"qwen", "qwen2", "qwen2_moe", "qwen2_vl", "qwen2_5_vl"};
constexpr std::string_view kQwen2Marks[] = {"<|im_start|>", "<tools>"};
constexpr std::string_view kQwen2Names[] = {"qwen"};
constexpr std::string_view kQwen2EndTokens[] = {"<|im_end|>"};

}  // namespace

const Family qwen2{
    .name = "qwen2",
    .model_types = kQwen2ModelTypes,
    .marks = kQwen2Marks,
    .names = kQwen2Names,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::hermes},
    .end_tokens = kQwen2EndTokens,
};

}  // namespace mlxd::families
