// Gemma 4.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kGemma4ModelTypes[] = {"gemma4", "gemma4_text", "gemma4_unified"};
constexpr std::string_view kGemma4Marks[] = {"<|tool_call>"};
constexpr std::string_view kGemma4Names[] = {"gemma-4"};
constexpr std::string_view kGemma4EndTokens[] = {"<turn|>"};

}  // namespace

const Family gemma4{
    .name = "gemma4",
    .model_types = kGemma4ModelTypes,
    .marks = kGemma4Marks,
    .names = kGemma4Names,
    .format = {.reasoning = {"<|channel>thought\n", "<channel|>"}, .tools = &dialects::gemma4},
    .end_tokens = kGemma4EndTokens,
};

}  // namespace mlxd::families
