// Whatever no other family describes.
#include "text/dialects/dialect_list.h"
#include "text/families/family_list.h"

namespace mlxd::families {

const Family plain{
    .name = "plain",
    .format = {.reasoning = {"<think>", "</think>"}, .tools = &dialects::hermes},
};

}  // namespace mlxd::families
