// gpt-oss (harmony).
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"gpt_oss"};
constexpr std::string_view kMarks[] = {"<|channel|>", "<|message|>"};
constexpr std::string_view kNames[] = {"gpt-oss"};
constexpr std::string_view kEndTokens[] = {"<|return|>", "<|call|>"};

}  // namespace

const Family gpt_oss{
    .name = "gpt_oss",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.tools = &dialects::gpt_oss, .is_harmony = true},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
