// How much a model is to reason, where clients ask for it without knowing whether it can: some send the same
// wish to every model.
#pragma once

#include "api/generation_call.h"
#include "server/served_model.h"

namespace mlxd {

/// Makes the call's reasoning_wish what this model understands: an effort or none, and a budget where it can
/// be held. What it cannot do goes into the call's ignored fields. Nothing without a wish.
void fit_reasoning(api::GenerationCall& call, const ServedModel& model);

}  // namespace mlxd
