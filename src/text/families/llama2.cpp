// Llama 2, CodeLlama and the first Mistrals: tools by the tool prompt.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kLlama2Marks[] = {"[INST]"};
constexpr std::string_view kLlama2Names[] = {"llama-2", "codellama"};

}  // namespace

const Family llama2{
    .name = "llama2",
    .marks = kLlama2Marks,
    .names = kLlama2Names,
    .format = {.tools = &dialects::hermes},
};

}  // namespace mlxd::families
