// Command A and R7B.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"cohere2"};
constexpr std::string_view kMarks[] = {"<|START_ACTION|>"};
constexpr std::string_view kNames[] = {"command-a", "command-r7b"};
constexpr std::string_view kLayout[] = {"<|START_RESPONSE|>", "<|END_RESPONSE|>"};
constexpr std::string_view kEndTokens[] = {"<|END_OF_TURN_TOKEN|>"};

}  // namespace

const Family command_a{
    .name = "command_a",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<|START_THINKING|>", "<|END_THINKING|>"},
               .tools = &dialects::cohere,
               .layout = kLayout},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
