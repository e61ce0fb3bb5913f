// Hunyuan.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kHunyuanModelTypes[] = {"hunyuan", "hunyuan_v1_dense", "hunyuan_v1_moe"};
constexpr std::string_view kHunyuanMarks[] = {"<tool_calls>"};
constexpr std::string_view kHunyuanNames[] = {"hunyuan"};
constexpr std::string_view kHunyuanLayout[] = {"<answer>\n", "\n</answer>", "<answer>", "</answer>"};

}  // namespace

const Family hunyuan{
    .name = "hunyuan",
    .model_types = kHunyuanModelTypes,
    .marks = kHunyuanMarks,
    .names = kHunyuanNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::hunyuan, .layout = kHunyuanLayout},
};

}  // namespace mlxd::families
