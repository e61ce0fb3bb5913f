// The tests that every backend has to pass, whatever its device. A backend's test program lists the suite's
// sources beside its own and instantiates BackendSuite with a BackendUnderTest for each way to make it; see
// docs/guides/add-a-backend.md.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "model/model_folder.h"
#include "model/testing/synthetic_model.h"

namespace mlxd::testing {

/// The models that the suite's backends have: llamas of two layers.
inline constexpr std::int32_t kSuiteVocabulary = 320;
inline constexpr std::int32_t kSuiteContextTokens = 512;

struct BatchLimits {
  std::int32_t tokens = 512;
  std::int32_t sequences = 64;
};

struct BackendUnderTest {
  std::string name;
  /// A backend over one of the suite's models, without pages; nullptr (and a failure) if it cannot be made.
  /// Called on the test's thread.
  std::function<std::unique_ptr<Backend>(const BatchLimits& limits)> make;
  /// How far a row's logits may move with its company, its chunks and its pages: largest difference over the
  /// largest logit. 0: not by a bit.
  double bound = 0.0;
  /// Takes a step before the last one is collected.
  bool runs_ahead = true;
};

inline void PrintTo(const BackendUnderTest& backend, std::ostream* out) { *out << backend.name; }
inline std::string name_of(const ::testing::TestParamInfo<BackendUnderTest>& info) { return info.param.name; }

class BackendSuite : public ::testing::TestWithParam<BackendUnderTest> {
 public:
  /// A backend with pages in every group.
  static std::unique_ptr<Backend> make(std::int32_t num_pages, const BatchLimits& limits = {});
};

/// Largest difference over the largest finite logit of `expected`; infinity if the sizes differ.
double relative_difference(std::span<const float> actual, std::span<const float> expected);
/// Fails unless the logits are those expected, as exactly as the backend promises.
void expect_same_logits(std::span<const float> actual, std::span<const float> expected,
                        const std::string& what);

std::vector<TokenId> random_tokens(std::size_t count, std::uint32_t seed);
std::vector<PageId> pages_from(PageId first, PageId count);

/// A synthetic model's folder, opened, for as long as the object lives.
class TinyModel {
 public:
  /// `config`: members added to config.json, as JSON text with a comma behind each.
  explicit TinyModel(const SyntheticModelOptions& options = {}, const std::string& config = "");
  const std::filesystem::path& path() const { return folder_.path(); }
  ModelFolder open() const;

 private:
  TemporaryFolder folder_;
};

/// The suite's models, written once: one layer group; a second one with a window of kSuiteWindow tokens.
inline constexpr std::int32_t kSuiteWindow = 45;
const TinyModel& suite_model();
const TinyModel& windowed_suite_model();

}  // namespace mlxd::testing
