// ERNIE 4.5.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"ernie4_5", "ernie4_5_moe"};
constexpr std::string_view kMarks[] = {"<|begin_of_sentence|>", "</response>"};
constexpr std::string_view kNames[] = {"ernie-4.5"};
constexpr std::string_view kLayout[] = {"<response>\n", "\n</response>\n", "<response>", "</response>"};

}  // namespace

const Family ernie4_5{
    .name = "ernie4_5",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::hermes, .layout = kLayout},
};

}  // namespace mlxd::families
