// SmolLM3.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"smollm3"};
constexpr std::string_view kMarks[] = {"/no_think", "<|im_start|>"};
constexpr std::string_view kNames[] = {"smollm3"};
constexpr std::string_view kEndTokens[] = {"<|im_end|>"};

}  // namespace

const Family smollm3{
    .name = "smollm3",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::hermes},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
