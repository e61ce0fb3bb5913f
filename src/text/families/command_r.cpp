// Command R and R+, Aya.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kCommandRModelTypes[] = {"cohere"};
constexpr std::string_view kCommandRMarks[] = {"<|START_OF_TURN_TOKEN|>"};
constexpr std::string_view kCommandRNames[] = {"command-r", "c4ai"};
constexpr std::string_view kCommandREndTokens[] = {"<|END_OF_TURN_TOKEN|>"};

}  // namespace

const Family command_r{
    .name = "command_r",
    .model_types = kCommandRModelTypes,
    .marks = kCommandRMarks,
    .names = kCommandRNames,
    .format = {.tools = &dialects::cohere},
    .end_tokens = kCommandREndTokens,
};

}  // namespace mlxd::families
