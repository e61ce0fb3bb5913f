// FunctionGemma.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kMarks[] = {"<start_function_call>"};
constexpr std::string_view kNames[] = {"functiongemma"};
constexpr std::string_view kEndTokens[] = {"<end_of_turn>", "<start_function_response>"};

}  // namespace

const Family function_gemma{
    .name = "function_gemma",
    .marks = kMarks,
    .names = kNames,
    .format = {.tools = &dialects::function_gemma},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
