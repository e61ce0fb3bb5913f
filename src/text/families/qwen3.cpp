// Qwen 3 and Qwen3-Next.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kQwen3ModelTypes[] = {"qwen3", "qwen3_moe", "qwen3_next"};
constexpr std::string_view kQwen3Marks[] = {"<|im_start|>", "<think>"};
constexpr std::string_view kQwen3Names[] = {"qwen3", "qwq"};
constexpr std::string_view kQwen3EndTokens[] = {"<|im_end|>"};

}  // namespace

const Family qwen3{
    .name = "qwen3",
    .model_types = kQwen3ModelTypes,
    .marks = kQwen3Marks,
    .names = kQwen3Names,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::hermes},
    .end_tokens = kQwen3EndTokens,
};

}  // namespace mlxd::families
