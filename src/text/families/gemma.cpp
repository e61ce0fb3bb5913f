// Gemma, Gemma 2, 3 and 3n: tools by the tool prompt.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kGemmaModelTypes[] = {"gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n"};
constexpr std::string_view kGemmaMarks[] = {"<start_of_turn>"};
constexpr std::string_view kGemmaNames[] = {"gemma"};
constexpr std::string_view kGemmaEndTokens[] = {"<end_of_turn>"};

}  // namespace

const Family gemma{
    .name = "gemma",
    .model_types = kGemmaModelTypes,
    .marks = kGemmaMarks,
    .names = kGemmaNames,
    .format = {.tools = &dialects::hermes},
    .end_tokens = kGemmaEndTokens,
};

}  // namespace mlxd::families
