// Nemotron Nano 2 and Llama Nemotron.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kModelTypes[] = {"nemotron_h"};
constexpr std::string_view kMarks[] = {"<TOOLCALL>"};
constexpr std::string_view kNames[] = {"nemotron"};

}  // namespace

const Family nemotron_nano{
    .name = "nemotron_nano",
    .model_types = kModelTypes,
    .marks = kMarks,
    .names = kNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::nemotron},
};

}  // namespace mlxd::families
