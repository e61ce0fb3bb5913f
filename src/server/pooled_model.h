// A served model in the pool, and the way back: what handlers get of a lease.
#pragma once

#include <memory>
#include <utility>

#include "runtime/model_host.h"
#include "runtime/model_pool.h"
#include "server/served_model.h"

namespace mlxd {

class ServedPooledModel final : public PooledModel {
 public:
  /// `host` may be null: a model of fixed size.
  ServedPooledModel(ServedModelPtr model, std::shared_ptr<ModelHost> host)
      : host_(std::move(host)), model_(std::move(model)) {}

  const ServedModel& served() const { return *model_; }
  ModelMemory memory() const override;
  EngineStats stats() const override { return model_->engine->stats(); }
  Result<void> set_quota(std::size_t bytes) override;
  void end_requests(const Error& reason) override { model_->engine->end_requests(reason); }

 private:
  std::shared_ptr<ModelHost> host_;
  ServedModelPtr model_;
};

/// The model; it holds the lease. All models of a server's pool are ServedPooledModels.
inline ServedModelPtr served(PoolLease lease) {
  const ServedModel* const model = &static_cast<const ServedPooledModel&>(*lease).served();
  return ServedModelPtr(std::move(lease), model);
}

}  // namespace mlxd
