// Llama 4.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kLlama4ModelTypes[] = {"llama4", "llama4_text"};
constexpr std::string_view kLlama4Marks[] = {"<|header_start|>"};
constexpr std::string_view kLlama4Names[] = {"llama-4"};
constexpr std::string_view kLlama4EndTokens[] = {"<|eot|>", "<|eom|>"};

}  // namespace

const Family llama4{
    .name = "llama4",
    .model_types = kLlama4ModelTypes,
    .marks = kLlama4Marks,
    .names = kLlama4Names,
    .format = {.tools = &dialects::llama4_pythonic},
    .end_tokens = kLlama4EndTokens,
};

}  // namespace mlxd::families
