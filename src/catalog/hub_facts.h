// Facts about a model that lies on the hub, from its small files and the sizes of the large ones. A function.
#pragma once

#include "catalog/hub_client.h"
#include "catalog/model_facts.h"

namespace mlxd {

/// What cannot be read is missing from the facts. `model` with its files, as HubClient::model gives it.
ModelFacts read_hub_facts(const HubClient& hub, const HubModel& model, StopFlag& stop);

}  // namespace mlxd
