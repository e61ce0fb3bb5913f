// Qwen 1.5 to 2.5.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"qwen", "qwen2", "qwen2_moe", "qwen2_vl", "qwen2_5_vl"};
constexpr std::string_view kMarks[] = {"<|im_start|>", "<tools>"};
constexpr std::string_view kNames[] = {"qwen"};
constexpr std::string_view kEndTokens[] = {"<|im_end|>"};

}  // namespace

const Family qwen2{
    .name = "qwen2",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::hermes},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
