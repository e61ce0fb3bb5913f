// The backend suite over the fake and the native CPU backend: same bits in any company.
#include "backend_suite.h"
#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/thread_pool.h"
#include "engine/testing/fake_backend.h"

namespace mlxd::testing {
namespace {

/// Mostly repeats what followed the last token before, so that there is something to guess.
TokenId what_followed(std::span<const TokenId> prefix) {
  for (std::size_t i = prefix.size() - 1; i-- > 0;) {
    if (prefix[i] == prefix.back()) return prefix[i + 1];
  }
  return kNoToken;
}
constexpr float kFollowedLogit = 6.0F;

std::unique_ptr<Backend> make_fake_windowed(const BatchLimits& limits) {
  return std::make_unique<FakeBackend>(FakeBackend::Options{.vocab_size = kSuiteVocabulary,
                                                            .max_batch_tokens = limits.tokens,
                                                            .max_batch_sequences = limits.sequences,
                                                            .windows = {0, kSuiteWindow},
                                                            .script = what_followed,
                                                            .script_logit = kFollowedLogit});
}

std::unique_ptr<Backend> make_fake(const BatchLimits& limits) {
  return std::make_unique<FakeBackend>(FakeBackend::Options{.vocab_size = kSuiteVocabulary,
                                                            .max_batch_tokens = limits.tokens,
                                                            .max_batch_sequences = limits.sequences,
                                                            .script = what_followed,
                                                            .script_logit = kFollowedLogit});
}

std::unique_ptr<Backend> make_cpu(const TinyModel& tiny, CpuPrecision precision, const BatchLimits& limits) {
  // One for all, as the models of a server have it: a model and its drafts compute on one thread.
  static const auto threads = std::make_shared<ThreadPool>(1);
  const ModelFolder model = tiny.open();
  Result<std::unique_ptr<CpuBackend>> backend =
      CpuBackend::load(model, {.precision = precision,
                               .share_threads = threads,
                               .max_batch_tokens = limits.tokens,
                               .max_batch_sequences = limits.sequences});
  if (!backend.ok()) {
    ADD_FAILURE() << backend.error().message;
    return nullptr;
  }
  return backend.take_value();
}

std::unique_ptr<Backend> make_fast(const BatchLimits& limits) {
  return make_cpu(suite_model(), CpuPrecision::kFast, limits);
}
std::unique_ptr<Backend> make_fast_windowed(const BatchLimits& limits) {
  return make_cpu(windowed_suite_model(), CpuPrecision::kFast, limits);
}
std::unique_ptr<Backend> make_reference(const BatchLimits& limits) {
  return make_cpu(suite_model(), CpuPrecision::kReference, limits);
}
std::unique_ptr<Backend> make_reference_windowed(const BatchLimits& limits) {
  return make_cpu(windowed_suite_model(), CpuPrecision::kReference, limits);
}

INSTANTIATE_TEST_SUITE_P(
    Backends, BackendSuite,
    ::testing::Values(BackendUnderTest{.name = "Fake", .make = make_fake, .runs_ahead = false},
                      BackendUnderTest{
                          .name = "FakeWindowed", .make = make_fake_windowed, .runs_ahead = false},
                      BackendUnderTest{.name = "CpuFast", .make = make_fast},
                      BackendUnderTest{.name = "CpuFastWindowed", .make = make_fast_windowed},
                      BackendUnderTest{.name = "CpuReference", .make = make_reference},
                      BackendUnderTest{.name = "CpuReferenceWindowed", .make = make_reference_windowed}),
    name_of);

}  // namespace
}  // namespace mlxd::testing
