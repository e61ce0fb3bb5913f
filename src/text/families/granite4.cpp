// Granite 4.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kGranite4ModelTypes[] = {"granitemoehybrid"};
constexpr std::string_view kGranite4Marks[] = {"<|start_of_role|>", "</tool_call>"};
constexpr std::string_view kGranite4Names[] = {"granite-4"};
constexpr std::string_view kGranite4EndTokens[] = {"<|end_of_text|>"};

}  // namespace

const Family granite4{
    .name = "granite4",
    .model_types = kGranite4ModelTypes,
    .marks = kGranite4Marks,
    .names = kGranite4Names,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::hermes},
    .end_tokens = kGranite4EndTokens,
};

}  // namespace mlxd::families
