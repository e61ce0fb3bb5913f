// EXAONE 3.5 and 4.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kExaone4ModelTypes[] = {"exaone", "exaone4", "exaone_moe"};
constexpr std::string_view kExaone4Marks[] = {"[|assistant|]"};
constexpr std::string_view kExaone4Names[] = {"exaone"};
constexpr std::string_view kExaone4EndTokens[] = {"[|endofturn|]"};

}  // namespace

const Family exaone4{
    .name = "exaone4",
    .model_types = kExaone4ModelTypes,
    .marks = kExaone4Marks,
    .names = kExaone4Names,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::hermes},
    .end_tokens = kExaone4EndTokens,
};

}  // namespace mlxd::families
