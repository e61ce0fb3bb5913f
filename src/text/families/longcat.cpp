// LongCat Flash.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kLongcatModelTypes[] = {"longcat_flash"};
constexpr std::string_view kLongcatMarks[] = {"<longcat_tool_call>"};
constexpr std::string_view kLongcatNames[] = {"longcat"};

}  // namespace

const Family longcat{
    .name = "longcat",
    .model_types = kLongcatModelTypes,
    .marks = kLongcatMarks,
    .names = kLongcatNames,
    .format = {.reasoning = {"<longcat_think>", "</longcat_think>"}, .tools = &dialects::longcat},
};

}  // namespace mlxd::families
