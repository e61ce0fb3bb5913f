// LFM2.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kLfm2ModelTypes[] = {"lfm2", "lfm2_moe", "lfm2_vl"};
constexpr std::string_view kLfm2Marks[] = {"<|tool_list_start|>"};
constexpr std::string_view kLfm2Names[] = {"lfm2"};
constexpr std::string_view kLfm2EndTokens[] = {"<|im_end|>"};

}  // namespace

const Family lfm2{
    .name = "lfm2",
    .model_types = kLfm2ModelTypes,
    .marks = kLfm2Marks,
    .names = kLfm2Names,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::lfm2},
    .end_tokens = kLfm2EndTokens,
};

}  // namespace mlxd::families
