// Nemotron Nano 2 and Llama Nemotron.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {
namespace {

constexpr std::string_view kNemotronNanoModelTypes[] = {"nemotron_h"};
constexpr std::string_view kNemotronNanoMarks[] = {"<TOOLCALL>"};
constexpr std::string_view kNemotronNanoNames[] = {"nemotron"};

}  // namespace

const Family nemotron_nano{
    .name = "nemotron_nano",
    .model_types = kNemotronNanoModelTypes,
    .marks = kNemotronNanoMarks,
    .names = kNemotronNanoNames,
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::nemotron},
};

}  // namespace mlxd::families
