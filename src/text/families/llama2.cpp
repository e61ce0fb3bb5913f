// Llama 2, CodeLlama and the first Mistrals: tools by the tool prompt.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kMarks[] = {"[INST]"};
constexpr std::string_view kNames[] = {"llama-2", "codellama"};

}  // namespace

const Family llama2{
    .name = "llama2",
    .marks = kMarks,
    .names = kNames,
    .format = {.tools = &dialects::hermes},
};

}  // namespace mlxd::families
