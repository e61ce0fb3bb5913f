// Once warm, a step of the CPU backend gets no memory: it would take time, and time that differs.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "backends/cpu/cpu_backend.h"
#include "model/testing/synthetic_model.h"
#include "step_runner.h"

namespace {

std::atomic<long> num_allocations{0};

void* counted(std::size_t size, std::size_t alignment) {
  num_allocations.fetch_add(1, std::memory_order_relaxed);
  const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, rounded > 0 ? rounded : alignment);
  if (memory == nullptr) std::abort();
  return memory;
}

}  // namespace

// Every form of new in the program comes to one of these two.
void* operator new(std::size_t size) { return counted(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace mlxd::testing {
namespace {

void check_allocates_nothing(StepProfile* profile) {
  TemporaryFolder folder;
  ASSERT_TRUE(write_synthetic_model(folder.path(), {}).ok());
  Result<ModelFolder> model = ModelFolder::open(folder.path());
  ASSERT_TRUE(model.ok());
  Result<std::unique_ptr<CpuBackend>> loaded =
      CpuBackend::load(*model, {.num_threads = 2, .profile = profile});
  ASSERT_TRUE(loaded.ok());
  CpuBackend& backend = **loaded;
  ASSERT_TRUE(resize_pages(backend, 64).ok());

  // Prefill beside decodes, long and short contexts, every way of choosing a token.
  ScriptedSequence sequences[3];
  for (std::size_t i = 0; i < 3; ++i) {
    sequences[i].tokens.assign(400, static_cast<TokenId>(20 + i));
    for (PageId page = 0; page < 13; ++page) sequences[i].pages.push_back(static_cast<PageId>(13 * i) + page);
  }
  sequences[0].done = 380;
  sequences[1].done = 3;
  const StepPart parts[] = {{&sequences[0], 1, WhichLogits::kLast},
                            {&sequences[1], 1, WhichLogits::kLast},
                            {&sequences[2], 100, WhichLogits::kLast}};
  StepBatch batch = make_batch(parts, {});
  batch.samples[1].spec.temperature = 0.8F;
  batch.samples[1].spec.top_p = 0.9F;
  batch.samples[1].spec.seed = 7;
  batch.samples[2].spec.logprob = true;
  batch.samples[2].spec.top_logprobs = 5;
  StepResult result;
  const auto run = [&] {
    Result<Backend::StepHandle> handle = backend.submit(batch);
    return handle.ok() && backend.collect(*handle, result).ok();
  };
  for (int warm_up = 0; warm_up < 4; ++warm_up) ASSERT_TRUE(run());
  const long before = num_allocations.load();
  bool all_ran = true;
  for (int step = 0; step < 8; ++step) all_ran = run() && all_ran;
  const long during = num_allocations.load() - before;
  EXPECT_TRUE(all_ran);
  EXPECT_EQ(during, 0);
}

TEST(CpuBackendStep, AllocatesNothingOnceWarm) { check_allocates_nothing(nullptr); }

TEST(CpuBackendStep, AllocatesNothingForItsProfile) {
  StepProfile profile;
  check_allocates_nothing(&profile);
  EXPECT_EQ(profile.totals().num_threads, 2);
}

}  // namespace
}  // namespace mlxd::testing
