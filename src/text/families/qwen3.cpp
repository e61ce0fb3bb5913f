// Qwen 3 and Qwen3-Next.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"qwen3", "qwen3_moe", "qwen3_next"};
constexpr std::string_view kMarks[] = {"<|im_start|>", "<think>"};
constexpr std::string_view kNames[] = {"qwen3", "qwq"};
constexpr std::string_view kEndTokens[] = {"<|im_end|>"};

}  // namespace

const Family qwen3{
    .name = "qwen3",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::hermes},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
