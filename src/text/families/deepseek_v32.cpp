// DeepSeek V3.2.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kDeepseekV32ModelTypes[] = {"deepseek_v32"};
constexpr std::string_view kDeepseekV32Marks[] = {"｜DSML｜"};
constexpr std::string_view kDeepseekV32Names[] = {"deepseek-v3.2"};

}  // namespace

const Family deepseek_v32{
    .name = "deepseek_v32",
    .model_types = kDeepseekV32ModelTypes,
    .marks = kDeepseekV32Marks,
    .names = kDeepseekV32Names,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::deepseek_v32},
};

}  // namespace mlxd::families
