// Kimi K2.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kKimiK2ModelTypes[] = {"kimi_k2", "kimi_linear"};
constexpr std::string_view kKimiK2Marks[] = {"<|tool_calls_section_begin|>"};
constexpr std::string_view kKimiK2Names[] = {"kimi-k2", "kimi-linear"};
constexpr std::string_view kKimiK2EndTokens[] = {"<|im_end|>"};

}  // namespace

const Family kimi_k2{
    .name = "kimi_k2",
    .model_types = kKimiK2ModelTypes,
    .marks = kKimiK2Marks,
    .names = kKimiK2Names,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::kimi_k2},
    .end_tokens = kKimiK2EndTokens,
};

}  // namespace mlxd::families
