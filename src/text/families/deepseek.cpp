// DeepSeek V2.5, V3, V3.1, R1 and what was distilled from it.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kDeepseekModelTypes[] = {"deepseek_v2", "deepseek_v3"};
constexpr std::string_view kDeepseekMarks[] = {"<｜tool▁calls▁begin｜>"};
constexpr std::string_view kDeepseekNames[] = {"deepseek"};

}  // namespace

const Family deepseek{
    .name = "deepseek",
    .model_types = kDeepseekModelTypes,
    .marks = kDeepseekMarks,
    .names = kDeepseekNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::deepseek_v3},
};

}  // namespace mlxd::families
