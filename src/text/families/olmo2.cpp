// OLMo 2 and OLMoE: tools by the tool prompt.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"olmo2", "olmoe"};
constexpr std::string_view kMarks[] = {"<|user|>", "<|assistant|>", "<|endoftext|>"};
constexpr std::string_view kNames[] = {"olmo-2"};

}  // namespace

const Family olmo2{
    .name = "olmo2",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.tools = &dialects::hermes},
};

}  // namespace mlxd::families
