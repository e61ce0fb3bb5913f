// Llama 4.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"llama4", "llama4_text"};
constexpr std::string_view kMarks[] = {"<|header_start|>"};
constexpr std::string_view kNames[] = {"llama-4"};
constexpr std::string_view kEndTokens[] = {"<|eot|>", "<|eom|>"};

}  // namespace

const Family llama4{
    .name = "llama4",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.tools = &dialects::llama4_pythonic},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
