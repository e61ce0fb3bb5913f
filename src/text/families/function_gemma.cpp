// FunctionGemma.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kFunctionGemmaMarks[] = {"<start_function_call>"};
constexpr std::string_view kFunctionGemmaNames[] = {"functiongemma"};
constexpr std::string_view kFunctionGemmaEndTokens[] = {"<end_of_turn>", "<start_function_response>"};

}  // namespace

const Family function_gemma{
    .name = "function_gemma",
    .marks = kFunctionGemmaMarks,
    .names = kFunctionGemmaNames,
    .format = {.tools = &dialects::function_gemma},
    .end_tokens = kFunctionGemmaEndTokens,
};

}  // namespace mlxd::families
