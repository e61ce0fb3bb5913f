// Command A and R7B.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kCommandAModelTypes[] = {"cohere2"};
constexpr std::string_view kCommandAMarks[] = {"<|START_ACTION|>"};
constexpr std::string_view kCommandANames[] = {"command-a", "command-r7b"};
constexpr std::string_view kCommandALayout[] = {"<|START_RESPONSE|>", "<|END_RESPONSE|>"};
constexpr std::string_view kCommandAEndTokens[] = {"<|END_OF_TURN_TOKEN|>"};

}  // namespace

const Family command_a{
    .name = "command_a",
    .model_types = kCommandAModelTypes,
    .marks = kCommandAMarks,
    .names = kCommandANames,
    .format = {.reasoning = {"<|START_THINKING|>", "<|END_THINKING|>"},
               .tools = &dialects::cohere,
               .layout = kCommandALayout},
    .end_tokens = kCommandAEndTokens,
};

}  // namespace mlxd::families
