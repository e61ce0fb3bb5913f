#include "server/pooled_model.h"

namespace mlxd {

ModelMemory ServedPooledModel::memory() const {
  const BackendMemory memory = model_->engine->backend_memory();
  return {.weight_bytes = memory.weight_bytes,
          .kv_bytes = memory.page_bytes,
          .scratch_bytes = memory.scratch_bytes,
          .adapter_bytes = memory.adapter_bytes,
          .tokenizer_bytes = model_->tokenizer->memory_bytes()};
}

Result<void> ServedPooledModel::set_quota(std::size_t bytes) {
  return host_ == nullptr ? Result<void>() : host_->set_memory_bytes(bytes);
}

}  // namespace mlxd
