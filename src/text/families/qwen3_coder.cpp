// Qwen3-Coder, Qwen 3.5 and all who write tools the same way (Nemotron 3, Step).
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kQwen3CoderModelTypes[] = {"qwen3_5", "qwen3_5_moe"};
constexpr std::string_view kQwen3CoderMarks[] = {"<function=", "<parameter="};
constexpr std::string_view kQwen3CoderNames[] = {"qwen3-coder", "qwen3.5"};
constexpr std::string_view kQwen3CoderEndTokens[] = {"<|im_end|>"};

}  // namespace

const Family qwen3_coder{
    .name = "qwen3_coder",
    .model_types = kQwen3CoderModelTypes,
    .marks = kQwen3CoderMarks,
    .names = kQwen3CoderNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::qwen3_coder},
    .end_tokens = kQwen3CoderEndTokens,
};

}  // namespace mlxd::families
