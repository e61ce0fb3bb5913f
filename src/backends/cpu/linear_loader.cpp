#include "backends/cpu/linear_loader.h"

#include <atomic>
#include <optional>

#include "backends/cpu/dense_weights.h"

namespace mlxd {

Result<std::vector<float>> LinearLoader::add_without_bias(std::vector<LinearSpec> parts, Linear* linear) {
  std::vector<float> biases;
  bool any = false;
  for (LinearSpec& part : parts) {
    std::vector<float> bias = TRY(read_bias(part, weights_));
    any = any || part.has_bias;
    bias.resize(static_cast<std::size_t>(part.out_features));
    biases.insert(biases.end(), bias.begin(), bias.end());
    part.has_bias = false;
  }
  if (!any) biases.clear();
  add(std::move(parts), linear);
  return biases;
}

Result<void> LinearLoader::run(ThreadPool& pool, const std::function<void(float)>& progress) {
  std::vector<std::optional<Error>> errors(jobs_.size());
  std::atomic<std::size_t> num_done{0};
  std::atomic<bool> failed{false};
  pool.parallel_for(static_cast<std::int64_t>(jobs_.size()), 1,
                    [&](std::int64_t index, std::int64_t, std::int32_t thread) {
                      if (failed.load(std::memory_order_relaxed)) return;
                      const Job& job = jobs_[static_cast<std::size_t>(index)];
                      Result<Linear> packed = Linear::pack(job.parts, weights_, isa_);
                      if (!packed.ok()) {
                        errors[static_cast<std::size_t>(index)] = packed.take_error();
                        failed.store(true, std::memory_order_relaxed);
                        return;
                      }
                      *job.linear = packed.take_value();
                      const std::size_t done = num_done.fetch_add(1, std::memory_order_relaxed) + 1;
                      if (thread == 0 && progress)
                        progress(static_cast<float>(done) / static_cast<float>(jobs_.size() + 1));
                    });
  for (std::optional<Error>& error : errors) {
    if (error) return *std::move(error);
  }
  if (progress) progress(1.0F);
  return {};
}

}  // namespace mlxd
