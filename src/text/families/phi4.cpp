// Phi 4: tools by the tool prompt.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kPhi4Marks[] = {"<|im_sep|>"};
constexpr std::string_view kPhi4Names[] = {"phi-4"};
constexpr std::string_view kPhi4EndTokens[] = {"<|im_end|>"};

}  // namespace

const Family phi4{
    .name = "phi4",
    .marks = kPhi4Marks,
    .names = kPhi4Names,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::hermes},
    .end_tokens = kPhi4EndTokens,
};

}  // namespace mlxd::families
