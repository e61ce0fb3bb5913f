// Hunyuan.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"hunyuan", "hunyuan_v1_dense", "hunyuan_v1_moe"};
constexpr std::string_view kMarks[] = {"<tool_calls>"};
constexpr std::string_view kNames[] = {"hunyuan"};
constexpr std::string_view kLayout[] = {"<answer>\n", "\n</answer>", "<answer>", "</answer>"};

}  // namespace

const Family hunyuan{
    .name = "hunyuan",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::hunyuan, .layout = kLayout},
};

}  // namespace mlxd::families
