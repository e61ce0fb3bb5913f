// ChatML: Hermes, SmolLM2 and many others; also models without a template whose tokenizer has its marks.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kMarks[] = {"<|im_start|>"};
constexpr std::string_view kNames[] = {"hermes", "chatml"};
constexpr std::string_view kEndTokens[] = {"<|im_end|>"};

}  // namespace

const Family chatml{
    .name = "chatml",
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::hermes},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
