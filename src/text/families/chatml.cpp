// ChatML: Hermes, SmolLM2 and many others; also models without a template whose tokenizer has its marks.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kChatmlMarks[] = {"<|im_start|>"};
constexpr std::string_view kChatmlNames[] = {"hermes", "chatml"};
constexpr std::string_view kChatmlEndTokens[] = {"<|im_end|>"};

}  // namespace

const Family chatml{
    .name = "chatml",
    .marks = kChatmlMarks,
    .names = kChatmlNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::hermes},
    .end_tokens = kChatmlEndTokens,
};

}  // namespace mlxd::families
