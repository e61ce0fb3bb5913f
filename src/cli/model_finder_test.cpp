#include "cli/model_finder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "cli/state_folder.h"

namespace mlxd::cli {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class ModelFinderTest : public testing::Test {
 protected:
  ModelFinderTest() {
    std::string pattern = (fs::temp_directory_path() / "mlxd_finder_XXXXXX").string();
    root_ = fs::canonical(mkdtemp(pattern.data()));
  }
  ~ModelFinderTest() override { fs::remove_all(root_); }

  void add_model(const fs::path& folder) const {
    fs::create_directories(folder);
    std::ofstream(folder / "config.json") << "{}";
    std::ofstream(folder / "model.safetensors") << "";
  }
  void add_home(const std::string& name) const { add_model(root_ / "models" / name); }
  void add_hub(const std::string& folder, const std::string& revision, const std::string& main) const {
    add_model(root_ / "hub" / folder / "snapshots" / revision);
    fs::create_directories(root_ / "hub" / folder / "refs");
    if (!main.empty()) std::ofstream(root_ / "hub" / folder / "refs" / "main") << main;
  }
  ModelFinder finder() const { return {root_ / "models", root_ / "hub", {root_ / "added"}}; }
  fs::path found(const std::string& name) const {
    const auto model = finder().find(name);
    EXPECT_TRUE(model.ok()) << model.error().message;
    return model.ok() ? model->path : fs::path();
  }
  Error refused(const std::string& name) const {
    const auto model = finder().find(name);
    EXPECT_FALSE(model.ok()) << name;
    return model.ok() ? Error(ErrorKind::kInternal, "") : model.error();
  }

  fs::path root_;
};

TEST_F(ModelFinderTest, ListsBothPlacesByNameAndNothingElse) {
  add_home("b-model");
  add_home(".converting-b-model");
  add_hub("models--org--a-model", "111", "111");
  fs::create_directories(root_ / "models" / "empty");
  fs::create_directories(root_ / "hub" / "datasets--org--a-data" / "snapshots" / "1");
  std::vector<std::string> names;
  for (const auto& model : finder().list()) names.push_back(model.name);
  EXPECT_THAT(names, ElementsAre("b-model", "org/a-model"));
}

TEST_F(ModelFinderTest, IsEmptyWhereThereAreNoFolders) { EXPECT_TRUE(finder().list().empty()); }

TEST_F(ModelFinderTest, FindsByExactNameRepositorySuffixAndPath) {
  add_home("SmolLM2-135M-Instruct-4bit");
  add_hub("models--mlx-community--Qwen3-0.6B-4bit", "abc", "abc");
  const fs::path smol = root_ / "models" / "SmolLM2-135M-Instruct-4bit";
  const fs::path qwen = root_ / "hub" / "models--mlx-community--Qwen3-0.6B-4bit" / "snapshots" / "abc";
  EXPECT_EQ(found("SmolLM2-135M-Instruct-4bit"), smol);
  EXPECT_EQ(found("mlx-community/Qwen3-0.6B-4bit"), qwen);
  EXPECT_EQ(found("Qwen3-0.6B-4bit"), qwen);
  EXPECT_EQ(found("qwen3-0.6b-4bit"), qwen);
  EXPECT_EQ(found("Instruct-4bit"), smol);
  EXPECT_EQ(found(smol.string()), smol);
}

TEST_F(ModelFinderTest, TakesTheRevisionThatMainNamesElseTheNewest) {
  add_hub("models--org--pinned", "aaa", "aaa");
  add_hub("models--org--pinned", "bbb", "");
  EXPECT_EQ(found("org/pinned").filename(), "aaa");
  add_hub("models--org--dangling", "ccc", "gone");
  EXPECT_EQ(found("org/dangling").filename(), "ccc");
  add_hub("models--org--escaping", "ddd", "../../../../models");
  EXPECT_EQ(found("org/escaping").filename(), "ddd");
}

TEST_F(ModelFinderTest, RefusesAnAmbiguousSuffixWithItsCandidates) {
  add_home("one-4bit");
  add_home("two-4bit");
  const Error error = refused("4bit");
  EXPECT_EQ(error.kind, ErrorKind::kConflict);
  EXPECT_THAT(error.message, HasSubstr("one-4bit, two-4bit"));
}

TEST_F(ModelFinderTest, PrefersAWholeNameOverAnEndingOfOne) {
  add_hub("models--org--base", "1", "1");
  add_hub("models--org--other-base", "1", "1");
  EXPECT_THAT(found("base").string(), HasSubstr("models--org--base"));
}

TEST_F(ModelFinderTest, NamesTheThreeNearestWhenNothingMatches) {
  for (const char* name : {"llama-1b", "llama-3b", "llama-8b", "zzz"}) add_home(name);
  const Error error = refused("lamma-1b");
  EXPECT_EQ(error.kind, ErrorKind::kNotFound);
  EXPECT_EQ(error.message, "no model 'lamma-1b'; nearest: llama-1b, llama-3b, llama-8b");
}

TEST_F(ModelFinderTest, SaysWhatIsWrongWithAPath) {
  fs::create_directories(root_ / "hollow");
  std::ofstream(root_ / "model.gguf") << "GGUF";
  EXPECT_THAT(refused((root_ / "absent").string()).message, HasSubstr("there is no folder"));
  EXPECT_THAT(refused((root_ / "hollow").string()).message, HasSubstr("needs config.json"));
  EXPECT_THAT(refused((root_ / "model.gguf").string()).message, HasSubstr("mlxd import"));
  EXPECT_THAT(refused("anything").message, HasSubstr("there are no models in"));
  EXPECT_EQ(refused("  ").kind, ErrorKind::kInvalidArgument);
}

TEST_F(ModelFinderTest, RemembersTheLastModelInTheStateFolder) {
  const StateFolder state(root_ / "state");
  EXPECT_FALSE(state.last_model().has_value());
  ASSERT_TRUE(state.remember_model("org/name").ok());
  EXPECT_EQ(state.last_model(), "org/name");
  EXPECT_EQ(fs::status(state.root()).permissions() & fs::perms::others_all, fs::perms::none);
}

TEST_F(ModelFinderTest, FindsModelsOfAddedFoldersAfterThoseOfItsOwnPlaces) {
  add_home("twice");
  add_model(root_ / "added" / "twice");
  add_model(root_ / "added" / "org" / "deep");
  add_model(root_ / "added" / "models--acme--cached" / "snapshots" / "1");
  EXPECT_EQ(found("twice"), root_ / "models" / "twice");
  EXPECT_EQ(found("org/deep"), root_ / "added" / "org" / "deep");
  EXPECT_EQ(found("cached"), root_ / "added" / "models--acme--cached" / "snapshots" / "1");
  EXPECT_EQ(finder().find("deep")->source, ModelSource::kAdded);
  EXPECT_EQ(ModelFinder(root_ / "models", root_ / "hub", {root_ / "models"}).list().size(), 1U);
}

}  // namespace
}  // namespace mlxd::cli
