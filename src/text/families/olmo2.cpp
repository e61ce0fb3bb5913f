// OLMo 2 and OLMoE: tools by the tool prompt.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kOlmo2ModelTypes[] = {"olmo2", "olmoe"};
constexpr std::string_view kOlmo2Marks[] = {"<|user|>", "<|assistant|>", "<|endoftext|>"};
constexpr std::string_view kOlmo2Names[] = {"olmo-2"};

}  // namespace

const Family olmo2{
    .name = "olmo2",
    .model_types = kOlmo2ModelTypes,
    .marks = kOlmo2Marks,
    .names = kOlmo2Names,
    .format = {.tools = &dialects::hermes},
};

}  // namespace mlxd::families
