// Llama 3 to 3.3.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"llama"};
constexpr std::string_view kMarks[] = {"<|start_header_id|>"};
constexpr std::string_view kNames[] = {"llama-3"};
constexpr std::string_view kEndTokens[] = {"<|eot_id|>", "<|eom_id|>"};

}  // namespace

const Family llama3{
    .name = "llama3",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::llama3_json},
    .end_tokens = kEndTokens,
};

}  // namespace mlxd::families
