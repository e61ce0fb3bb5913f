// Phi 4: tools by the tool prompt.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kMarks[] = {"<|im_sep|>"};
constexpr std::string_view kNames[] = {"phi-4"};
constexpr std::string_view kEndTokens[] = {"<|im_end|>"};

}  // namespace

const Family phi4{
    .name = "phi4",
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::hermes},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
