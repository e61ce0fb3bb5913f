// LFM2.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"lfm2", "lfm2_moe", "lfm2_vl"};
constexpr std::string_view kMarks[] = {"<|tool_list_start|>"};
constexpr std::string_view kNames[] = {"lfm2"};
constexpr std::string_view kEndTokens[] = {"<|im_end|>"};

}  // namespace

const Family lfm2{
    .name = "lfm2",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::lfm2},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
