#include "engine/backend.h"

#include <utility>

namespace mlxd {
namespace {

Error no_adapters(const Backend& backend) {
  return unsupported("the backend " + backend.info().name + " has no adapters: leave the adapter out");
}

}  // namespace

Result<PreparedAdapterPtr> Backend::prepare_adapter(const Adapter& /*adapter*/) const {
  return no_adapters(*this);
}

Result<void> Backend::attach_adapter(AdapterId /*id*/, PreparedAdapterPtr /*adapter*/) {
  return no_adapters(*this);
}

void Backend::detach_adapter(AdapterId /*id*/) {}

}  // namespace mlxd
