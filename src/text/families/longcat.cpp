// LongCat Flash.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"longcat_flash"};
constexpr std::string_view kMarks[] = {"<longcat_tool_call>"};
constexpr std::string_view kNames[] = {"longcat"};

}  // namespace

const Family longcat{
    .name = "longcat",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<longcat_think>", "</longcat_think>"}, .tools = &dialects::longcat},
};

}  // namespace mlxd::families
