// Command R and R+, Aya.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"cohere"};
constexpr std::string_view kMarks[] = {"<|START_OF_TURN_TOKEN|>"};
constexpr std::string_view kNames[] = {"command-r", "c4ai"};
constexpr std::string_view kEndTokens[] = {"<|END_OF_TURN_TOKEN|>"};

}  // namespace

const Family command_r{
    .name = "command_r",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.tools = &dialects::cohere},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
