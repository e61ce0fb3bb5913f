// ERNIE 4.5.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kErnie45ModelTypes[] = {"ernie4_5", "ernie4_5_moe"};
constexpr std::string_view kErnie45Marks[] = {"<|begin_of_sentence|>", "</response>"};
constexpr std::string_view kErnie45Names[] = {"ernie-4.5"};
constexpr std::string_view kErnie45Layout[] = {"<response>\n", "\n</response>\n", "<response>",
                                               "</response>"};

}  // namespace

const Family ernie4_5{
    .name = "ernie4_5",
    .model_types = kErnie45ModelTypes,
    .marks = kErnie45Marks,
    .names = kErnie45Names,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::hermes, .layout = kErnie45Layout},
};

}  // namespace mlxd::families
