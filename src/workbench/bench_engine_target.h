// The model of this process as a benchmark's target: prompts go to the engine without HTTP and are never
// ended early. A conversation's prompt is the tokens of all before it, answers included. Thread-safe.
#pragma once

#include <memory>
#include <optional>

#include "runtime/model_host.h"
#include "workbench/bench_target.h"

namespace mlxd {

class BenchEngineTarget : public BenchTarget {
 public:
  /// `model` must outlive this.
  BenchEngineTarget(const ModelHost& model, float temperature)
      : model_(model), limits_(model.limits()), temperature_(temperature) {}
  std::unique_ptr<BenchConversation> begin(bool is_chat) override;
  std::optional<BenchDrafts> drafts() const override;

 private:
  const ModelHost& model_;
  const GenerationLimits limits_;
  const float temperature_;
};

}  // namespace mlxd
