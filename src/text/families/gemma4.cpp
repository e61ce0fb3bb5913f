// Gemma 4.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"gemma4", "gemma4_text", "gemma4_unified"};
constexpr std::string_view kMarks[] = {"<|tool_call>"};
constexpr std::string_view kNames[] = {"gemma-4"};
constexpr std::string_view kEndTokens[] = {"<turn|>"};

}  // namespace

const Family gemma4{
    .name = "gemma4",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<|channel>thought\n", "<channel|>"}, .tools = &dialects::gemma4},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
