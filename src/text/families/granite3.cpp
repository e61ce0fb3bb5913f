// Granite 3.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kGranite3ModelTypes[] = {"granite", "granitemoe"};
constexpr std::string_view kGranite3Marks[] = {"<|start_of_role|>"};
constexpr std::string_view kGranite3Names[] = {"granite-3"};
constexpr std::string_view kGranite3EndTokens[] = {"<|end_of_text|>"};

}  // namespace

const Family granite3{
    .name = "granite3",
    .model_types = kGranite3ModelTypes,
    .marks = kGranite3Marks,
    .names = kGranite3Names,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::granite3},
    .end_tokens = kGranite3EndTokens,
};

}  // namespace mlxd::families
