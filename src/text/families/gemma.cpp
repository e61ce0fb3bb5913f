// Gemma, Gemma 2, 3 and 3n: tools by the tool prompt.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n"};
constexpr std::string_view kMarks[] = {"<start_of_turn>"};
constexpr std::string_view kNames[] = {"gemma"};
constexpr std::string_view kEndTokens[] = {"<end_of_turn>"};

}  // namespace

const Family gemma{
    .name = "gemma",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.tools = &dialects::hermes},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
