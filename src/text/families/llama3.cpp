// Llama 3 to 3.3.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kLlama3ModelTypes[] = {"llama"};
constexpr std::string_view kLlama3Marks[] = {"<|start_header_id|>"};
constexpr std::string_view kLlama3Names[] = {"llama-3"};
constexpr std::string_view kLlama3EndTokens[] = {"<|eot_id|>", "<|eom_id|>"};

}  // namespace

const Family llama3{
    .name = "llama3",
    .model_types = kLlama3ModelTypes,
    .marks = kLlama3Marks,
    .names = kLlama3Names,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::llama3_json},
    .end_tokens = kLlama3EndTokens,
};

}  // namespace mlxd::families
