// SmolLM3.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kSmollm3ModelTypes[] = {"smollm3"};
constexpr std::string_view kSmollm3Marks[] = {"/no_think", "<|im_start|>"};
constexpr std::string_view kSmollm3Names[] = {"smollm3"};
constexpr std::string_view kSmollm3EndTokens[] = {"<|im_end|>"};

}  // namespace

const Family smollm3{
    .name = "smollm3",
    .model_types = kSmollm3ModelTypes,
    .marks = kSmollm3Marks,
    .names = kSmollm3Names,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::hermes},
    .end_tokens = kSmollm3EndTokens,
};

}  // namespace mlxd::families
