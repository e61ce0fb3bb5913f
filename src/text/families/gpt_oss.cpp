// gpt-oss (harmony).
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kGptOssModelTypes[] = {"gpt_oss"};
constexpr std::string_view kGptOssMarks[] = {"<|channel|>", "<|message|>"};
constexpr std::string_view kGptOssNames[] = {"gpt-oss"};
constexpr std::string_view kGptOssEndTokens[] = {"<|return|>", "<|call|>"};

}  // namespace

const Family gpt_oss{
    .name = "gpt_oss",
    .model_types = kGptOssModelTypes,
    .marks = kGptOssMarks,
    .names = kGptOssNames,
    .format = {.tools = &dialects::gpt_oss, .is_harmony = true},
    .end_tokens = kGptOssEndTokens,
};

}  // namespace mlxd::families
